"""Keras' layers that augment images: those that a model's file cannot train with."""

from collections.abc import Iterator

import keras
from absl import logging

from sam_pod import errors

# Layers that mix examples, and labels where they get these; a model's file gives them
# images alone. The value is the config that mixes both.
_MIXING = {keras.layers.MixUp: "mixup", keras.layers.CutMix: "cutmix"}
# What takes red, green and blue, all of it or some of its operations.
_IN_COLOURS = (
    keras.layers.RandAugment,
    keras.layers.RandomColorDegeneration,
    keras.layers.RandomColorJitter,
    keras.layers.RandomGrayscale,
    keras.layers.RandomHue,
    keras.layers.RandomSaturation,
)


def check_mixing(path: str, model: keras.Model, *, begun: bool) -> None:
    """Refuse layers that do not augment here as they should, or warn of them.

    They mix images of several examples, or draw once for all (AugMix:
    findings/augmix_in_a_function.sh).

    Args:
        path: The path of the model's file.
        model: The model in it.
        begun: Whether the run has begun already; then a warning replaces the refusal.

    Raises:
        UserError: naming the layer, and the config that does it.
    """
    for line in _lines(path, model):
        if not begun:
            raise errors.UserError(line)
        logging.warning("%s", line)


def _lines(path: str, model: keras.Model) -> Iterator[str]:
    for layer in _layers(model, (keras.layers.AugMix,)):
        yield (
            f"{path} has the layer {layer.name!r} (AugMix), which draws its operations "
            "when a step is compiled, so that all batches have the same and a run that "
            "continues has others: save it without that layer, and set `data.augment`, "
            "such as to 'randaugment'."
        )
    for layer in _layers(model, tuple(_MIXING)):
        word = next(key for kind, key in _MIXING.items() if isinstance(layer, kind))
        yield (
            f"{path} has the layer {layer.name!r} ({type(layer).__name__}), which in a "
            "model mixes the images of a batch and leaves their labels as they are: "
            f"save it without that layer, and set `data.augment` to {word!r}, which "
            f"mixes both, as `data.{word}_alpha` says."
        )


def colours_only(path: str, model: keras.Model, channels: int, error: str) -> str:
    """Return a line on the layer that fails because it takes colours; '' for none.

    Args:
        path: The path of the model's file.
        model: The model in it, whose call failed.
        channels: The number of channels of its images.
        error: Keras' message, which names the class of the layer.
    """
    if channels == 3:
        return ""
    found = list(_layers(model, _IN_COLOURS))
    if not any(f"{type(layer).__name__}.call()" in error for layer in found):
        return ""
    kind = type(found[0]).__name__
    own = {"RandAugment": "randaugment", "RandomColorJitter": "color_jitter"}.get(kind)
    other = f" (`data.augment` {own!r} takes grey ones)" if own else ""
    grey = (
        f", or with keras.Input of 3 channels, and set `data.channels` to 3{other}"
        if channels == 1
        else ""
    )
    return (
        f"{path} has the layer {found[0].name!r} ({kind}), which takes images of 3 "
        f"channels alone, and these have {channels}: save it without that layer{grey}."
    )


def _layers(
    model: keras.Model, kinds: tuple[type[keras.Layer], ...]
) -> Iterator[keras.Layer]:
    """Yield the layers of some kinds, the outer before those in them."""
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, kinds):
            yield layer
