"""On what a run was computed, as far as that changes what is computed.

Keys of `runtime` say on how many replicas to run. SAM's m and BatchNorm's batch may
depend on that, and then runs that differ in it are two.
"""

from collections.abc import Mapping
from typing import Any

import ml_collections

from sam_pod.config import keys
from sam_pod.run import spread as spread_lib
from sam_pod.run.spread import Spread

_JAX = "pjrt"  # Of `runtime.strategy`; it draws other augmentation and dropout.


def of(result: Mapping[str, Any]) -> Spread | None:
    """Return what a result says of its spread; None for one of an older version."""
    try:
        return spread_lib.from_json(result)
    except ValueError:
        return None


def before(result: Mapping[str, Any]) -> list[Spread]:
    """Return how a run was spread before each change of that, in their order."""
    found = [of(change.get("from", {})) for change in result.get("changes", ())]
    return [spread for spread in found if spread is not None]


def keys_of(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Return the keys that say on what to run."""
    flat = keys.flatten(config)
    return {key: flat[key] for key in sorted(keys.PLACE_KEYS)}


def differing(a: ml_collections.ConfigDict, b: ml_collections.ConfigDict) -> list[str]:
    """Return the keys that say on what to run, and that differ."""
    other = keys_of(b)
    return [key for key, value in keys_of(a).items() if value != other[key]]


def may_be_two(a: ml_collections.ConfigDict, b: ml_collections.ConfigDict) -> bool:
    """Return whether configs that are otherwise equal may compute two updates."""
    # ESAM chooses of each replica's own examples.
    matters = (
        a.model.batch_norm != "global"
        or a.sam.sync != "global"
        or (a.sam.rho and a.sam.variant == "esam")
    )
    return bool(differing(a, b)) and (bool(matters) or _is_one_of_jax(a, b))


def are_two(
    run: ml_collections.ConfigDict, asked: ml_collections.ConfigDict, spread: Spread
) -> bool:
    """Return whether a finished run is another than is asked for, by its place.

    Args:
        run: Its config.
        asked: The other, which is equal but for the place.
        spread: How the run was spread.
    """
    if not differing(run, asked):
        return False
    count = asked.runtime.cpu_replicas
    return _is_one_of_jax(run, asked) or not _is_as_on(count, asked, spread)


def depends(config: ml_collections.ConfigDict, spread: Spread) -> bool:
    """Return whether one replica would have computed another update."""
    return not _is_as_on(1, config, spread)


def _is_one_of_jax(a: ml_collections.ConfigDict, b: ml_collections.ConfigDict) -> bool:
    return (a.runtime.strategy == _JAX) != (b.runtime.strategy == _JAX)


def _is_as_on(count: int, config: ml_collections.ConfigDict, spread: Spread) -> bool:
    """Return whether so many replicas would decide together as they have."""
    sync = config.sam.sync
    named = int(sync) if sync.isdecimal() else 1
    size = count if sync == "global" else named
    if not size or count % size:
        return False
    there = spread_lib.of(
        config,
        count,
        1,
        size,
        has_batch_norm=spread.batch_norm_examples is not None,
        ascends=spread.ascent_examples is not None,
        executed_by=spread.executed_by,
    )
    return update(there) == update(spread)


def update(spread: Spread) -> tuple[int | None, int | None, str]:
    """Return what decides which update a spread computes."""
    return spread.ascent_examples, spread.batch_norm_examples, spread.executed_by


def name(spread: Spread, *, with_replicas: bool = True) -> str:
    """Return who executed a run, and on how many replicas."""
    replicas = f" on {spread_lib.name(spread)}" if with_replicas else ""
    return spread.executed_by + replicas


def in_words(spread: Spread) -> str:
    """Return what of an update depends on its spread."""
    counts = {
        "SAM's m": spread.ascent_examples,
        "BatchNorm's batch": spread.batch_norm_examples,
    }
    parts = [f"{what} {count}" for what, count in counts.items() if count is not None]
    return ", ".join([name(spread), *parts])
