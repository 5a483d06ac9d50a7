"""Keras' layers of random noise, whose draws for an example are those of its row.

Keras draws noise for the batch that it sees: the same example gets another mask on
another number of replicas, in another micro-batch or chunk. Here the numbers of a
global batch are one sequence, of which each call takes its rows' part.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

_PHILOX = 1  # The algorithm whose numbers can be counted: four to a count.
_PER_COUNT = 4


class Rows(NamedTuple):
    """Consecutive rows of a global batch, or some of these."""

    first: tf.Tensor | int
    count: tf.Tensor | int
    chosen: tf.Tensor | None = None  # Places among them; all if None.


# Each replica is traced by a thread of its own.
_GIVEN: contextvars.ContextVar[Rows | None] = contextvars.ContextVar(
    "_GIVEN", default=None
)


@contextlib.contextmanager
def given(rows: Rows | None) -> Iterator[None]:
    """Let layers of `by_row` draw for these rows while a model is called.

    Args:
        rows: The rows; None where they draw as Keras does.
    """
    token = _GIVEN.set(rows)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def by_row(model: keras.Model) -> set[int]:
    """Have layers of noise draw by row when rows are `given`, and else as Keras does.

    Layers of other classes, of a user's own say, draw as they did.

    Returns:
        The ids of the variables that hold the seeds of those layers.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if type(layer) in _NOISES and hasattr(layer, "seed_generator")
    ]
    for layer in layers:
        layer.call = functools.partial(_call, layer)
    return {id(layer.seed_generator.state) for layer in layers}


def _call(
    layer: keras.layers.Layer, inputs: tf.Tensor, training: bool | None = False
) -> tf.Tensor:
    rows = _GIVEN.get()
    if not training or rows is None:
        return type(layer).call(layer, inputs, training=training)
    state = layer.seed_generator.next()  # uint32 numbers in some type of Keras'.
    seed = tf.bitcast(tf.cast(state, tf.uint32), tf.int32)
    drawn = functools.partial(_drawn, rows, seed)
    return _NOISES[type(layer)](layer, inputs, drawn)


# From an operation that draws, and a shape, to the numbers of that shape.
Draw = Callable[[Callable[..., tf.Tensor], Sequence[tf.Tensor | int]], tf.Tensor]


def _drawn(
    rows: Rows,
    seed: tf.Tensor,
    operation: Callable[..., tf.Tensor],
    shape: Sequence[tf.Tensor | int],
) -> tf.Tensor:
    """Return the rows' part of what is drawn for a global batch, float32.

    What is one for all examples is drawn from the beginning, the same for all rows.
    """
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    draw = functools.partial(operation, key=key, alg=_PHILOX, dtype=tf.float32)
    size = math.prod(shape)
    called = rows.count if rows.chosen is None else rows.chosen.shape[0]
    if isinstance(size, int) and isinstance(called, int) and size % called:
        return draw(shape=shape, counter=counter)
    each = size // called
    padded = (each + _PER_COUNT - 1) // _PER_COUNT * _PER_COUNT
    skipped = tf.cast(rows.first, tf.int64) * tf.cast(padded // _PER_COUNT, tf.int64)
    counter += tf.stack([tf.cast(skipped, tf.uint64), tf.zeros([], tf.uint64)])
    numbers = draw(shape=[rows.count, padded], counter=counter)[:, :each]
    if rows.chosen is not None:
        numbers = tf.gather(numbers, rows.chosen)
    return tf.reshape(numbers, shape)


def _uniform(draw: Draw, shape: Sequence[tf.Tensor | int]) -> tf.Tensor:
    return draw(tf.raw_ops.StatelessRandomUniformV2, shape)


def _normal(draw: Draw, shape: Sequence[tf.Tensor | int], dtype: tf.DType) -> tf.Tensor:
    return tf.cast(draw(tf.raw_ops.StatelessRandomNormalV2, shape), dtype)


def _shape(x: tf.Tensor) -> list[tf.Tensor | int]:
    dynamic = tf.shape(x)
    return [dynamic[i] if n is None else n for i, n in enumerate(x.shape)]


def _noise_shape(layer: keras.layers.Layer, inputs: tf.Tensor) -> list[tf.Tensor | int]:
    """Return the shape of a mask: 1 where it is the same along an axis."""
    whole = _shape(inputs)
    if type(layer) in _SPATIAL:
        channels = 1 if _is_channels_first(layer) else len(whole) - 1
        return [n if i in (0, channels) else 1 for i, n in enumerate(whole)]
    if layer.noise_shape is None:
        return whole
    pairs = zip(layer.noise_shape, whole, strict=True)
    return [n if given is None else given for given, n in pairs]


def _is_channels_first(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def _dropout(layer: keras.layers.Layer, inputs: tf.Tensor, draw: Draw) -> tf.Tensor:
    kept = _uniform(draw, _noise_shape(layer, inputs)) >= layer.rate
    # No tf.where, which is slow in bfloat16 (findings/where_in_bfloat16.sh).
    return inputs * (tf.cast(kept, inputs.dtype) / (1 - layer.rate))


def _alpha_dropout(
    layer: keras.layers.Layer, inputs: tf.Tensor, draw: Draw
) -> tf.Tensor:
    """Keep the mean and variance of SELU's activations: arXiv 1706.02515, section 2."""
    lowest = -1.6732632423543772 * 1.0507009873554805
    kept = _uniform(draw, _noise_shape(layer, inputs)) >= layer.rate
    scale = ((1 - layer.rate) * (1 + layer.rate * lowest**2)) ** -0.5
    shift = -scale * lowest * layer.rate
    x = tf.where(kept, inputs, tf.cast(lowest, inputs.dtype))
    return x * tf.cast(scale, x.dtype) + tf.cast(shift, x.dtype)


def _gaussian_dropout(
    layer: keras.layers.Layer, inputs: tf.Tensor, draw: Draw
) -> tf.Tensor:
    deviation = math.sqrt(layer.rate / (1 - layer.rate))
    return inputs * (1 + deviation * _normal(draw, _shape(inputs), inputs.dtype))


def _gaussian_noise(
    layer: keras.layers.Layer, inputs: tf.Tensor, draw: Draw
) -> tf.Tensor:
    return inputs + layer.stddev * _normal(draw, _shape(inputs), inputs.dtype)


_SPATIAL = (
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
_NOISES = {
    keras.layers.Dropout: _dropout,
    **dict.fromkeys(_SPATIAL, _dropout),
    keras.layers.AlphaDropout: _alpha_dropout,
    keras.layers.GaussianDropout: _gaussian_dropout,
    keras.layers.GaussianNoise: _gaussian_noise,
}
