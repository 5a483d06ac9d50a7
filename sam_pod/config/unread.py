"""Keys that a command line sets and nothing reads, because of what other keys say.

Newer keys are refused then (readers.py). These are older, so workdirs and scripts may
have set them: a line of the log says that they do nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_collections

from sam_pod.config import keys as config_lib


def lines(config: ml_collections.ConfigDict, names: Sequence[str]) -> Iterator[str]:
    """Yield a line for each key that nothing reads.

    Args:
        config: The config.
        names: The keys to look at, such as those of a command line.
    """
    flat = config_lib.flatten(config)
    for name in names:
        choosers = {
            key: is_read for begins, key, is_read in _READ if name.startswith(begins)
        }
        if choosers and not any(
            is_read(flat[key]) for key, is_read in choosers.items()
        ):
            why = " and ".join(f"`{key}` is {flat[key]!r}" for key in choosers)
            yield f"`{name}` is {flat[name]!r}, and nothing reads it: {why}."


def _one_of(*choices: Any) -> Callable[[Any], bool]:
    return choices.__contains__


def _has(*parts: str) -> Callable[[str], bool]:
    """Return whether a text, parts joined by commas, has one of some parts."""
    return lambda text: bool(
        set(parts).intersection(part.strip() for part in text.split(","))
    )


# Beginnings of keys, a key that decides, and which of its values have them read; where
# several decide, one is enough.
_READ: tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...] = (
    (("schedule.plateau_",), "schedule.name", _one_of("plateau")),
    (("optimizer.momentum",), "optimizer.name", _one_of("sgd", "rmsprop", "lars")),
    (
        ("optimizer.nesterov", "optimizer.rate_in_velocity"),
        "optimizer.name",
        _one_of("sgd"),
    ),
    (("optimizer.beta_",), "optimizer.name", _one_of("adam", "adamw", "lamb")),
    (
        ("optimizer.epsilon",),
        "optimizer.name",
        _one_of("adam", "adamw", "lamb", "rmsprop"),
    ),
    (("optimizer.decays_in",), "optimizer.weight_decay", bool),
    (("ema.warmup",), "ema.decay", bool),
    (
        ("sharpness.measures", "sharpness.examples", "sharpness.iterations"),
        "sharpness.every_epochs",
        bool,
    ),
    (("data.crop_",), "data.augment", _has("crop")),
    (("data.brightness_delta",), "data.augment", _has("brightness")),
    (("data.autoaugment_policy",), "data.augment", _has("autoaugment")),
    (("data.policy_place",), "data.augment", _has("autoaugment", "randaugment")),
    (("data.randaugment_",), "data.augment", _has("randaugment")),
    (("data.cutout_size",), "data.augment", _has("cutout", "batch_cutout")),
    (("data.mixup_alpha",), "data.augment", _has("mixup")),
    (("data.cutmix_alpha",), "data.augment", _has("cutmix")),
    (("data.central_fraction",), "data.augment", _has("inception")),
    (("data.interpolation",), "data.image_size", bool),
    (("data.interpolation",), "data.augment", _has("inception")),
    (("data.label_noise_kind",), "data.label_noise", bool),
    (("data.validation_examples",), "data.validation", _one_of("held_out")),
    (("data.features.", "data.num_classes"), "data.files.train", bool),
    (("model.initial_checkpoint",), "model.initial_weights", bool),
    (("sam.sam_on.eta",), "sam.sam_on.adaptive", bool),
)
