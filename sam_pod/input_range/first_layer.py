"""A look, before a run's first step, at what the model's first layers will see."""

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod.input_range.decision import KEY
from sam_pod.models import front
from sam_pod.step.recipe import Recipe

_SMALLEST, _LARGEST = 0.02, 10.0  # Deviations that a layer can learn from.
_APART = 5.0  # The least factor between training and evaluation that is warned of.


class Figures(NamedTuple):
    """The statistics of some values."""

    mean: float
    deviation: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return them as a line of the log has them."""
        return (
            f"mean {self.mean:.3g}, deviation {self.deviation:.3g}, from "
            f"{self.low:.3g} to {self.high:.3g}"
        )


def check(recipe: Recipe, stored: tf.Tensor, augmented: tf.Tensor, name: str) -> None:
    """Warn when what the first layers with weights see is nothing to learn from.

    It changes no variable and no random state.

    Args:
        recipe: The parts of the step.
        stored: The first images of the run, uint8 `[B, H, W, C]`.
        augmented: The same images as its first step feeds them, float32.
        name: The model's name.
    """
    model = recipe.network.model
    try:
        evaluated = _figures(model, recipe.evaluation_images(stored), None)
        trained = _figures(model, augmented, tf.constant([recipe.seed, 0]))
    except Exception as error:  # A model can hold anything, and break anywhere.
        reason = " ".join(str(error).split())[:120]
        logging.warning("What the layers of %s see is not known: %s", name, reason)
        return
    for layer in list(evaluated)[:8]:
        a, b = trained.get(layer, evaluated[layer]), evaluated[layer]
        faults = list(dict.fromkeys(_faults(a, b, _normalizes(model, layer))))
        if faults:
            logging.warning(
                "%s is fed %s, and its layer %r sees, in training, values of %s; in "
                "evaluation, of %s: %s. Set `%s` to the range that the model is made "
                "for, or change the layers before.",
                name,
                recipe.input_range.text,
                layer,
                a,
                b,
                " and ".join(faults),
                KEY,
            )


def _figures(
    model: keras.Model, images: tf.Tensor, key: tf.Tensor | None
) -> dict[str, Figures]:
    """Return what each first layer sees, by its name."""
    found = {}
    for step in front.walk(model, images, key=key).first:
        values = np.asarray(tf.cast(step.images, tf.float32), np.float64)
        found.setdefault(
            step.name,
            Figures(values.mean(), values.std(), values.min(), values.max()),
        )
    return found


def _normalizes(model: keras.Model, layer: str) -> bool:
    """Return whether a layer takes large values as well as small ones."""
    kinds = (
        keras.layers.BatchNormalization,
        keras.layers.LayerNormalization,
        keras.layers.GroupNormalization,
    )
    found = [x for x in model._flatten_layers() if x.name == layer]
    return any(isinstance(x, kinds) for x in found)


def _faults(trained: Figures, evaluated: Figures, normalizes: bool) -> Iterator[str]:
    for figures in (trained, evaluated):
        if not np.all(np.isfinite(figures)):
            yield "they are not all finite"
        elif figures.deviation < _SMALLEST:
            yield "they hardly vary"
        elif figures.deviation > _LARGEST and not normalizes:
            yield "they are far too large"
    low, high = sorted((trained.deviation, evaluated.deviation))
    if high > _APART * low:
        yield "training sees others than evaluation"
