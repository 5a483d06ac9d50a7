"""What a member of the SAM family goes with: refused before anything is read."""

from collections.abc import Iterator

import ml_collections

from sam_pod import errors
from sam_pod.config import readers, sam_rows, window

# Members that remember a mean over all learners, or divide by no gradient's norm.
_WITHOUT_SHARED_NORM = ("looksam", "friendly", "vasso", "msam")
_Rule = tuple[object, str, str]  # What refuses, if true; what is there; the way on.


def validate(config: ml_collections.ConfigDict) -> None:
    """Refuse a member with what it does not go with.

    Raises:
        UserError: with the keys, the rule and the way on.
    """
    sam = config.sam
    errors.lookup(dict.fromkeys(sam_rows.MEMBERS), sam.variant, "sam.variant")
    readers.check(config, "sam.variant")
    if not sam.rho:
        return
    window.of(config)
    for rules in (
        _of_rho(config),
        _of_shared_norms(sam),
        _of_lengths(sam),
        _of_members(config),
    ):
        for is_refused, what, way in rules:
            if is_refused:
                raise errors.UserError(f"{what}; {way}.")


def _of_rho(config: ml_collections.ConfigDict) -> Iterator[_Rule]:
    sam = config.sam
    yield from (
        (
            sam.rho_min > sam.rho,
            f"`sam.rho_min` is {sam.rho_min} and `sam.rho` {sam.rho}",
            "the first must not be above the second",
        ),
        (
            sam.rho_min and schedule(config) == "constant",
            f"`sam.rho_min` is {sam.rho_min} and rho constant",
            "take a `sam.rho_schedule` that reads it",
        ),
    )


def _of_shared_norms(sam: ml_collections.ConfigDict) -> Iterator[_Rule]:
    yield from (
        (
            sam.sync == "norm" and sam.variant in _WITHOUT_SHARED_NORM,
            f"`sam.sync` is 'norm' and `sam.variant` {sam.variant!r}, whose ascent "
            "is not divided by the norm of a learner's gradient",
            "take 'replica', 'global' or a group's size",
        ),
        (
            sam.sync == "norm" and sam.norm != "2",
            f"`sam.sync` is 'norm' and `sam.norm` {sam.norm!r}, where the ascent is "
            "not divided by a norm",
            "take 'replica', 'global' or a group's size",
        ),
        (
            sam.sync == "norm" and (sam.layerwise or sam.energy),
            "`sam.sync` is 'norm', and `sam.layerwise` or `sam.energy` have norms of "
            "their own",
            "take 'replica', 'global' or a group's size",
        ),
    )


def _of_lengths(sam: ml_collections.ConfigDict) -> Iterator[_Rule]:
    yield from (
        (
            sam.norm == "1" and sam.variant != "sam",
            f"`sam.norm` is '1' and `sam.variant` {sam.variant!r}",
            "take '2' or 'inf', or `sam.variant` 'sam'",
        ),
        (
            sam.norm != "2" and (sam.layerwise or sam.energy),
            f"`sam.norm` is {sam.norm!r}, and `sam.layerwise` and `sam.energy` are of "
            "norm '2'",
            "take one of them",
        ),
        (
            sam.layerwise and sam.energy,
            "`sam.layerwise` and `sam.energy` both set the length of an ascent",
            "take one of them",
        ),
        (
            sam.layerwise == "unit" and sam.variant == "asam",
            "`sam.layerwise` is 'unit' and `sam.variant` 'asam'",
            "take 'trust': T is the norm of a tensor of weights there",
        ),
        (
            sam.layerwise
            and sam.variant == "sam_on"
            and (sam.layerwise == "unit" or not sam.sam_on.adaptive),
            f"`sam.layerwise` is {sam.layerwise!r} and `sam.variant` 'sam_on', which "
            "has an adaptive ascent by layers alone",
            "take 'trust' with `sam.sam_on.adaptive`",
        ),
    )


def _of_members(config: ml_collections.ConfigDict) -> Iterator[_Rule]:
    sam = config.sam
    yield from (
        (
            sam.every > 1 and sam.variant == "looksam",
            f"`sam.every` is {sam.every} and `sam.variant` 'looksam', which has a "
            "period of its own",
            "set `sam.looksam.k`",
        ),
        (
            sam.variant == "esam" and config.accumulate_steps > 1,
            f"`accumulate_steps` is {config.accumulate_steps} and `sam.variant` "
            "'esam': a chunk does not know the losses of the others",
            "take `accumulate_steps` 1",
        ),
        (
            sam.variant == "msam" and sam.micro_batches > 1,
            f"`sam.micro_batches` is {sam.micro_batches} and `sam.variant` 'msam', "
            "which ascends once for all",
            "take 1, or `accumulate_steps` for memory",
        ),
        (
            sam.variant == "msam" and not _has_momentum(config),
            "`sam.variant` is 'msam', which follows a momentum: 'sgd' without "
            "`optimizer.nesterov` and with an `optimizer.momentum` above 0, or "
            f"'adamw'; `optimizer.name` is {config.optimizer.name!r}, "
            f"`optimizer.nesterov` {config.optimizer.nesterov} and "
            f"`optimizer.momentum` {config.optimizer.momentum}",
            "change them",
        ),
    )


def schedule(config: ml_collections.ConfigDict) -> str:
    """Return the schedule of rho: the config's, or the member's own for 'auto'."""
    if config.sam.rho_schedule != "auto":
        return config.sam.rho_schedule
    return "learning_rate" if config.sam.variant == "gsam" else "constant"


def _has_momentum(config: ml_collections.ConfigDict) -> bool:
    optimizer = config.optimizer
    if optimizer.name == "sgd":
        return optimizer.momentum > 0 and not optimizer.nesterov
    return optimizer.name == "adamw"
