"""Keras' Normalization as a function of its statistics.

The layer keeps its mean and variance as tensors beside its variables. What is called
with other values, such as those of a checkpoint, would not see them, and a program that
is lowered would ask for them as arguments that nobody has.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf


class _Adapted(NamedTuple):
    """A layer, and where its variables are among those that do not train."""

    layer: keras.layers.Normalization
    mean: int
    variance: int


class Normalizations:
    """The Normalization layers of a model, those in its parts among them."""

    def __init__(self, model: keras.Model) -> None:
        """Take a model that is built."""
        places = {id(v): i for i, v in enumerate(model.non_trainable_variables)}
        layers = {
            id(layer): layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.Normalization) and layer.built
        }
        self._layers = list(layers.values())
        self._adapted = [
            _Adapted(
                layer, places[id(layer.adapt_mean)], places[id(layer.adapt_variance)]
            )
            for layer in self._layers
            if layer.input_mean is None
        ]
        self.finalize()

    def finalize(self) -> None:
        """Have the layers take what their variables are now."""
        for layer in self._layers:
            layer.finalize_state()
        self._own = [(layer, layer.mean, layer.variance) for layer in self._layers]

    @contextlib.contextmanager
    def given(self, non_trainable: Sequence[tf.Tensor]) -> Iterator[None]:
        """Let the layers normalize by these values while the model is called.

        Args:
            non_trainable: A tensor for each of the model's variables that do not train.
        """
        try:
            for layer, mean, variance in self._own:
                if layer.input_mean is not None:  # Constants in a graph.
                    parts = (mean, variance)
                    _set(layer, *(tf.constant(part.numpy()) for part in parts))
            for layer, mean, variance in self._adapted:
                parts = (non_trainable[mean], non_trainable[variance])
                _set(layer, *(_as_called(layer, part) for part in parts))
            yield
        finally:
            # Not what was there before: another replica's call may have set that.
            for layer, mean, variance in self._own:
                _set(layer, mean, variance)


def _as_called(layer: keras.layers.Normalization, value: tf.Tensor) -> tf.Tensor:
    """Return a statistic as the layer's `finalize_state` makes it of a variable."""
    return tf.cast(tf.reshape(value, layer._broadcast_shape), layer.compute_dtype)


def _set(
    layer: keras.layers.Normalization, mean: tf.Tensor, variance: tf.Tensor
) -> None:
    layer.mean, layer.variance = mean, variance
