"""Moments that can be differentiated twice.

TensorFlow's own take the mean for a constant in the variance. The first derivative does
not see that, for the squares around a mean do not change as it moves; the second is
wrong by the product of the mean's derivatives. Keras' BatchNormalization (when it
trains) and GroupNormalization are made of them.
"""

import contextlib
import functools
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf


@contextlib.contextmanager
def differentiable_twice() -> Iterator[None]:
    """Let what is traced in the context call `moments` by TensorFlow's name.

    Also by the names under which modules have imported it. Enter it where a program is
    called, not inside of it: replicas are traced in turns.
    """
    places = _places(len(sys.modules))
    for module, name, (_, ours) in places:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for module, name, (theirs, _) in places:
            setattr(module, name, theirs)


@functools.lru_cache(maxsize=1)
def _places(count: int) -> list[tuple[Any, str, tuple[Any, Any]]]:
    """Return the modules, of so many, and names that TensorFlow's moments have there.

    With each what it is and what it is to be.
    """
    del count
    first = tf.compat.v1.nn.moments
    pairs = {id(f): (f, o) for f, o in ((tf.nn.moments, moments), (first, _first))}
    own = {id(tf.nn): tf.nn, id(tf.compat.v1.nn): tf.compat.v1.nn}
    others = {
        id(module): module
        for key, module in sys.modules.items()
        if key.partition(".")[0] not in ("tensorflow", "keras", "sam_pod")
    }
    return [
        (module, name, pairs[id(value)])
        for module in (own | others).values()
        for name, value in list(getattr(module, "__dict__", {}).items())
        if id(value) in pairs
    ]


def _first(
    x: tf.Tensor,
    axes: Sequence[int],
    shift: None = None,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what `tf.compat.v1.nn.moments` does."""
    return moments(x, axes, shift, bool(keep_dims or keepdims), name)


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
