"""How a global batch is spread over replicas, and what of that an update depends on.

N replicas equal one where all ascend together and nothing normalizes by a batch. Where
they do not, the number of replicas is a part of what is trained.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections


@dataclasses.dataclass(frozen=True)
class Spread:
    """Over whom, and how many examples decide together."""

    replicas: int
    workers: int  # Processes.
    ascent_examples: int | None  # SAM's m; None without SAM.
    batch_norm_examples: int | None  # Of a batch's statistics; None without such.

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return dataclasses.asdict(self)


def of(
    config: ml_collections.ConfigDict,
    num_replicas: int,
    num_workers: int,
    group_size: int,
    *,
    has_batch_norm: bool,
) -> Spread:
    """Return how the config's batch is spread.

    Args:
        config: Validated.
        num_replicas: That share it.
        num_workers: Whose replicas they are.
        group_size: Replicas that ascend together.
        has_batch_norm: Whether the model takes statistics of a batch.
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
        together if config.sam.rho else None,
        of_batch if has_batch_norm else None,
    )


def from_json(content: Mapping[str, Any]) -> Spread:
    """Return what `Spread.to_json` gave.

    Raises:
        ValueError: it did not give this.
    """
    try:
        values = [content[field.name] for field in dataclasses.fields(Spread)]
    except KeyError as error:
        raise ValueError(f"{error} is missing") from error
    for value in values:
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{value!r} is no count")
    return Spread(*values)


def changes(
    old: Spread, new: Spread, config: ml_collections.ConfigDict
) -> tuple[str, ...]:
    """Return a phrase for each thing that makes another update of it."""
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
    return tuple(phrases)


def name(spread: Spread) -> str:
    """Return over whom it is spread, in words."""
    replicas = f"{spread.replicas} replica{'s' * (spread.replicas > 1)}"
    if spread.workers == 1:
        return replicas
    return f"{replicas} of {spread.workers} workers"
