"""How a global batch is spread over replicas, and how an update depends on that.

N replicas equal one where all ascend together and nothing normalizes by a batch.
Otherwise the number of replicas changes what is trained.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

TENSORFLOW = "TensorFlow"  # The name of `runtime.Runtime` that needs no mention.


@dataclasses.dataclass(frozen=True)
class Spread:
    """The replicas that share a batch, and how many examples decide together."""

    replicas: int
    workers: int  # Processes.
    ascent_examples: int | None  # SAM's m; None without SAM.
    batch_norm_examples: int | None  # BatchNorm's batch; None without BatchNorm.
    executed_by: str = TENSORFLOW  # Who executes the steps.

    def to_json(self) -> dict[str, Any]:
        """Return the spread as plain values; a name is there where it is not usual."""
        values = dataclasses.asdict(self)
        if self.executed_by == TENSORFLOW:
            del values["executed_by"]
        return values


def of(
    config: ml_collections.ConfigDict,
    num_replicas: int,
    num_workers: int,
    group_size: int,
    *,
    has_batch_norm: bool,
    ascends: bool = True,
    executed_by: str = TENSORFLOW,
) -> Spread:
    """Return how the config's batch is spread.

    Args:
        config: A validated config.
        num_replicas: The number of replicas that share the batch.
        num_workers: The number of workers that have the replicas.
        group_size: The number of replicas that ascend together.
        has_batch_norm: Whether the model takes statistics of a batch.
        ascends: Whether the member that acts ascends from a gradient.
        executed_by: The name of the runtime that executes the steps.
    """
    ascents = num_replicas // group_size * config.sam.micro_batches
    together = config.global_batch_size // ascents
    own = config.global_batch_size // (
        num_replicas * config.sam.micro_batches * config.accumulate_steps
    )
    of_batch = together if config.model.batch_norm == "global" else own
    return Spread(
        num_replicas,
        num_workers,
        _ascent_examples(config, together, own) if config.sam.rho and ascends else None,
        of_batch if has_batch_norm else None,
        executed_by,
    )


def _ascent_examples(config: ml_collections.ConfigDict, together: int, own: int) -> int:
    """Return how many examples decide a step together.

    Args:
        config: A validated config.
        together: The examples that ascend together.
        own: The examples of one replica among them.
    """
    # Each replica chooses the hardest of its own examples.
    is_chosen = config.sam.variant == "esam" and config.sam.esam.gamma < 1
    return own if is_chosen else together


def from_json(content: Mapping[str, Any]) -> Spread:
    """Return the spread that `Spread.to_json` wrote.

    Raises:
        ValueError: it did not write this.
    """
    *counts, who = (field.name for field in dataclasses.fields(Spread))
    try:
        values = [content[name] for name in counts]
    except KeyError as error:
        raise ValueError(f"{error} is missing") from error
    for value in values:
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{value!r} is no count")
    executed_by = content.get(who, TENSORFLOW)
    if not isinstance(executed_by, str):
        raise ValueError(f"{executed_by!r} is no name")
    return Spread(*values, executed_by)


def changes(
    old: Spread, new: Spread, config: ml_collections.ConfigDict
) -> tuple[str, ...]:
    """Return a phrase for each difference that changes the update."""
    phrases = []
    for what, key, before, after in (
        (
            "the m of SAM",
            f"`sam.sync` {config.sam.sync!r}",
            old.ascent_examples,
            new.ascent_examples,
        ),
        (
            "BatchNorm's batch",
            f"`model.batch_norm` {config.model.batch_norm!r}",
            old.batch_norm_examples,
            new.batch_norm_examples,
        ),
    ):
        if before != after:
            phrases.append(f"{what} goes from {before} to {after} examples ({key})")
    if old.executed_by != new.executed_by:
        phrases.append(
            f"the steps go from {old.executed_by} to {new.executed_by}, which rounds "
            "otherwise and draws other augmentation and dropout"
        )
    return tuple(phrases)


def name(spread: Spread) -> str:
    """Return the replicas and workers in words."""
    replicas = f"{spread.replicas} replica{'s' * (spread.replicas > 1)}"
    if spread.workers == 1:
        return replicas
    return f"{replicas} of {spread.workers} workers"
