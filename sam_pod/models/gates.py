"""Layers that scale each image's activations at random: ShakeDrop and Shake-Shake.

They take their random numbers from the call of the network, a row of them for each
image: the same in both passes of a step of SAM, and wherever an image's row of the
global batch is computed. In training the gradient goes through another gate than the
activations do, unless the call asks for the true gradient, as the SAM paper's code does
in the first pass. Evaluation takes the gates' expectation.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf


class Drawn(NamedTuple):
    """The random numbers of a call."""

    uniform: tf.Tensor  # `[B, count(layers)]`, float32 in [0, 1).
    is_true_gradient: bool  # The gradient is that of what is computed.


# By layer, what `given` gives it. Each replica is traced by a thread of its own.
_GIVEN: contextvars.ContextVar[dict[int, Drawn] | None] = contextvars.ContextVar(
    "_GIVEN", default=None
)


class _Gate(keras.layers.Layer):
    draws = 0  # The numbers that it needs for each image.

    def _drawn(self, like: tf.Tensor) -> tuple[list[tf.Tensor], bool]:
        """Return its numbers, each of a shape that activations can be scaled by."""
        given = (_GIVEN.get() or {}).get(id(self))
        if given is None:
            raise ValueError(
                f"{self.name} trains only as part of a sam_pod Network, which gives it "
                "random numbers"
            )
        shape = [-1] + [1] * (len(like.shape) - 1)
        columns = tf.split(given.uniform, self.draws, axis=1)
        return [tf.reshape(c, shape) for c in columns], given.is_true_gradient


@keras.saving.register_keras_serializable("sam_pod")
class ShakeDrop(_Gate):
    """Keep activations with a probability, else scale them: arXiv 1802.02375, eq. 6.

    Those of an image that are not kept are scaled by a number in [-1, 1), and their
    gradient by one in [0, 1). Evaluation scales by the probability.
    """

    draws = 3

    def __init__(self, keep: float, **kwargs: Any) -> None:
        """Take the probability, and what `keras.layers.Layer` takes."""
        super().__init__(**kwargs)
        self.keep = keep

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return scaled activations `[B, ...]`."""
        if not training:
            return inputs * tf.cast(self.keep, inputs.dtype)
        (kept, alpha, beta), is_true = self._drawn(inputs)
        ones = tf.ones_like(alpha)
        forward = tf.where(kept < self.keep, ones, 2.0 * alpha - 1.0)
        backward = tf.where(kept < self.keep, ones, beta)
        return _scaled(inputs, forward, forward if is_true else backward)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the settings that a file keeps."""
        return {**super().get_config(), "keep": self.keep}


@keras.saving.register_keras_serializable("sam_pod")
class ShakeShake(_Gate):
    """Mix two branches by a number in [0, 1), their gradients by another.

    This is arXiv 1705.07485, 'Shake-Shake-Image'. Evaluation takes the mean.
    """

    draws = 2

    def call(
        self, inputs: Sequence[tf.Tensor], training: bool | None = None
    ) -> tf.Tensor:
        """Return the mixture of two tensors of one shape `[B, ...]`."""
        one, other = inputs
        if not training:
            return (one + other) * tf.cast(0.5, one.dtype)
        (forward, backward), is_true = self._drawn(one)
        if is_true:
            backward = forward
        one = _scaled(one, forward, backward)
        return one + _scaled(other, 1.0 - forward, 1.0 - backward)

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """Return the shape of each input."""
        return input_shape[0]


def _scaled(x: tf.Tensor, forward: tf.Tensor, backward: tf.Tensor) -> tf.Tensor:
    """Return x times `forward`, whose gradient is that of x times `backward`."""
    if forward is backward:
        return x * tf.cast(forward, x.dtype)

    @tf.custom_gradient
    def scale(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream * tf.cast(backward, upstream.dtype)

        return x * tf.cast(forward, x.dtype), gradient

    return scale(x)


def of(model: keras.Model) -> list[_Gate]:
    """Return the layers of a model that need random numbers, in its order."""
    layers = model._flatten_layers(include_self=False)
    return [layer for layer in layers if isinstance(layer, _Gate)]


def count(layers: Sequence[_Gate]) -> int:
    """Return how many random numbers some layers need for each image."""
    return sum(layer.draws for layer in layers)


def draw(shape: Sequence[tf.Tensor | int], key: tf.Tensor) -> Drawn:
    """Return numbers that are a function of a key, whose gradient is the true one."""
    uniform = tf.random.stateless_uniform(shape, key, alg="philox")
    return Drawn(uniform, is_true_gradient=True)


@contextlib.contextmanager
def given(layers: Sequence[_Gate], drawn: Drawn | None) -> Iterator[None]:
    """Give layers their numbers while a model is called."""
    if drawn is None:
        yield
        return
    parts = tf.split(drawn.uniform, [layer.draws for layer in layers], axis=1)
    of_layers = {
        id(layer): drawn._replace(uniform=part)
        for layer, part in zip(layers, parts, strict=True)
    }
    token = _GIVEN.set(of_layers)
    try:
        yield
    finally:
        _GIVEN.reset(token)
