"""A model called as from outside, with values in place of its variables."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf


@contextlib.contextmanager
def within_one(model: keras.Model, *, training: bool) -> Iterator[None]:
    """Let layers that are called here be called by the model.

    A layer that nobody calls forgets the losses of its earlier calls, so those of a
    layer that a model calls twice would count once.
    """
    model._get_call_context().set_value("training", training)
    try:
        yield
    finally:
        model._maybe_reset_call_context()


def values(
    model: keras.Model, trainable: Sequence[tf.Tensor], others: Sequence[tf.Tensor]
) -> list[tuple[keras.Variable, tf.Tensor]]:
    """Return the pairs that a `StatelessScope` takes.

    Args:
        model: The model.
        trainable: A tensor for each trainable variable.
        others: A tensor for each of the others.
    """
    return [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, others, strict=True),
    ]


def penalties(
    model: keras.Model, given: Sequence[tuple[keras.Variable, tf.Tensor]]
) -> list[tf.Tensor]:
    """Return the losses of the regularizers of a model's weights."""
    with keras.StatelessScope(given, collect_losses=True):
        return model.losses


def moved(model: keras.Model) -> list[tuple[keras.Variable, tf.Tensor]]:
    """Return a model's floating variables, each with other values near its own.

    What weights of 0 hide is seen with these.
    """
    pairs = []
    for number, variable in enumerate(model.variables):
        value = tf.convert_to_tensor(variable)
        if value.dtype.is_floating:
            noise = tf.random.stateless_uniform(value.shape, [1, number])
            pairs.append((variable, value + tf.cast(0.1 * noise, value.dtype)))
    return pairs
