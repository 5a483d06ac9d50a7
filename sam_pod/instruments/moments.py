"""Moments that can be differentiated twice.

TensorFlow's own take the mean for a constant in the variance. The first derivative does
not see that, for the squares around a mean do not change as it moves; the second is
wrong by the product of the mean's derivatives. Keras' BatchNormalization (when it
trains) and GroupNormalization are made of them.
"""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


@contextlib.contextmanager
def differentiable_twice() -> Iterator[None]:
    """Let what is traced in the context call `moments` by TensorFlow's name.

    Enter it where a program is called, not inside of it: replicas are traced in turns.
    """
    theirs = tf.nn.moments
    tf.nn.moments = moments
    try:
        yield
    finally:
        tf.nn.moments = theirs


def moments(
    x: tf.Tensor,
    axes: Sequence[int],
    shift: None = None,
    keepdims: bool = False,
    name: str | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and variance as `tf.nn.moments` does."""
    del shift
    with tf.name_scope(name or "moments"):
        wide = tf.cast(x, tf.float32) if x.dtype.size == 2 else x
        mean = tf.reduce_mean(wide, axes, keepdims=True)
        variance = tf.reduce_mean(tf.square(wide - mean), axes, keepdims=keepdims)
        if not keepdims:
            mean = tf.reshape(mean, tf.shape(variance))
        return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)
