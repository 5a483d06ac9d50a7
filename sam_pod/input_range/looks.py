"""What made-up images become at a model's front, for each range they may be fed in."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from sam_pod.data.augment import ranges
from sam_pod.models import front
from sam_pod.models import network as network_lib

_LEVELS = 5  # Images of one value each, from the lowest to the highest.
_PICTURES = 8


class Pixels(NamedTuple):
    """What is known of the data's images."""

    shape: tuple[int, int, int]  # (H, W, C)
    mean: tuple[float, ...]  # By channel, in [0, 1].
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What images have become somewhere."""

    low: np.ndarray  # The lowest level, [C], or [1] where there are no channels.
    high: np.ndarray
    means: np.ndarray  # The pictures' means, [C].
    deviation: float  # The pictures' deviation, the mean over the channels.

    @property
    def width(self) -> float:
        """From the lowest to the highest level."""
        return float(np.max(np.abs(self.high - self.low)))


@dataclasses.dataclass(frozen=True)
class Passed:
    """A layer or operation without weights, and what it is given."""

    operation: Any
    low: np.ndarray
    high: np.ndarray
    changes_levels: bool
    changes_pictures: bool

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.operation.name

    @property
    def width(self) -> float:
        """From the lowest to the highest level."""
        return float(np.max(np.abs(self.high - self.low)))

    @property
    def value_range(self) -> list[float] | None:
        """What a layer of Keras says that its images are in, if it says so."""
        try:
            low, high = self.operation.get_config()["value_range"]
            return [float(low), float(high)]
        except Exception:  # An operation, another layer, one that is not saved.
            return None


@dataclasses.dataclass(frozen=True)
class Look:
    """The way of images in one range."""

    levels: np.ndarray  # What is fed, ascending.
    passed: list[Passed]
    first: list[Seen]  # What the first layers with weights are given.
    is_identity: bool
    images: tf.Tensor

    @property
    def has_adapted(self) -> bool:
        """Whether data were measured for a layer on the way."""
        return any(is_adapted(step.operation) for step in self.passed)


def is_adapted(layer: Any) -> bool:
    """Return whether it is a normalization with statistics of data."""
    if not isinstance(layer, keras.layers.Normalization):
        return False
    mean, variance = np.asarray(layer.mean), np.asarray(layer.variance)
    return bool(np.any(mean != 0) or np.any(variance != 1))


def through(model: keras.Model, data: Pixels) -> dict[str, Look]:
    """Return a look at a model's front, with one input, for each range."""
    levels = np.linspace(0, 1, _LEVELS, dtype=np.float32)
    std = tuple(max(deviation, 0.02) for deviation in data.std)
    images = tf.concat(
        [
            tf.ones([_LEVELS, *data.shape]) * levels[:, None, None, None],
            _pictures(data.shape, data.mean, std),
        ],
        axis=0,
    )
    found = {}
    for name in ranges.NAMES:
        fed = ranges.Range(name, data.mean, std).of_unit(images)
        found[name] = _look(model, fed)
    return found


def _pictures(
    image_shape: tuple[int, int, int], mean: Sequence[float], std: Sequence[float]
) -> tf.Tensor:
    """Return smooth images of about the data's mean and deviation, always the same."""
    height, width, channels = image_shape
    coarse = tf.random.stateless_normal([_PICTURES, 4, 4, channels], [7, 13])
    smooth = tf.image.resize(coarse, [height, width])
    smooth /= tf.math.reduce_std(smooth)
    return tf.clip_by_value(smooth * tf.constant(std) + tf.constant(mean), 0.0, 1.0)


def _look(model: keras.Model, images: tf.Tensor) -> Look:
    way = front.walk(model, images)
    first, fed = [_seen(step.images) for step in way.first], _seen(images)
    return Look(
        levels=images[:_LEVELS, 0, 0, 0].numpy(),
        passed=[_passed(step) for step in way.passed],
        first=first,
        is_identity=all(_is_same(fed, seen) for seen in first),
        images=images,
    )


def is_steady(model: keras.Model, look: Look) -> bool:
    """Return whether training shows the first layers what evaluation does.

    The comparison is rough: a flip or some noise does not matter, a brightness of
    [0, 255] added to [0, 1] does.
    """
    draws = any(
        network_lib.is_seed(variable)
        for step in look.passed
        for variable in getattr(step.operation, "variables", ())
    )
    if not draws:
        return True
    way = front.walk(model, look.images, key=tf.constant([0, 0]))
    return all(map(_is_alike, look.first, [_seen(step.images) for step in way.first]))


def _passed(step: front.Step) -> Passed:
    before, after = _seen(step.images), _seen(step.outputs)
    same = step.images.shape == step.outputs.shape
    near = 0.01 * before.width

    def moved(a: np.ndarray, b: np.ndarray) -> bool:
        pair = (a, b) if a.shape == b.shape else (a.mean(), b.mean())
        return not np.allclose(*pair, rtol=0, atol=near)

    return Passed(
        operation=step.operation,
        low=before.low,
        high=before.high,
        changes_levels=moved(before.low, after.low) or moved(before.high, after.high),
        changes_pictures=same and moved(np.asarray(step.images), step.outputs.numpy()),
    )


def _seen(images: tf.Tensor) -> Seen:
    values = np.asarray(tf.cast(images, tf.float32), np.float64)
    if values.ndim == 4:  # In the middle, for some layers add borders.
        middle = values[:, values.shape[1] // 2, values.shape[2] // 2]
        rest = values[_LEVELS:].reshape(-1, values.shape[-1])
    else:
        middle = np.median(values.reshape(len(values), -1), axis=1)[:, None]
        rest = values[_LEVELS:].reshape(-1, 1)
    low, high = middle[0], middle[_LEVELS - 1]
    return Seen(low, high, rest.mean(axis=0), float(rest.std(axis=0).mean()))


def _is_same(fed: Seen, seen: Seen) -> bool:
    """Return whether images are unchanged, except perhaps in size."""
    near = 0.01 * fed.width
    ends = (
        abs(seen.low.mean() - fed.low.mean()),
        abs(seen.high.mean() - fed.high.mean()),
    )
    return max(ends) < near and 0.2 < seen.deviation / fed.deviation < 2


def _is_alike(evaluated: Seen, trained: Seen) -> bool:
    ratio = trained.deviation / (evaluated.deviation + 1e-30)
    shift = np.abs(trained.means.mean() - evaluated.means.mean())
    return 1 / 8 < ratio < 8 and shift < 4 * evaluated.deviation
