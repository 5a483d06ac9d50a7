"""Regularizers of activations, whose loss Keras sums over the examples of a call.

The mean over replicas, micro-batches and chunks would count it by as much less as each
of these has fewer examples; as in Keras it is the sum over the global batch here.
"""

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf


class Activities:
    """The layers of a model that regularize what they give."""

    def __init__(self, model: keras.Model) -> None:
        layers = {id(layer): layer for layer in model._flatten_layers()}
        self._own = [
            (layer, layer.activity_regularizer)
            for layer in layers.values()
            if layer.activity_regularizer is not None
        ]
        self.are_there = bool(self._own)
        self._inside = 0  # Calls, of replicas that wait for each other within theirs.

    @contextlib.contextmanager
    def scaled(self, factor: float) -> Iterator[None]:
        """Let them count so many times as much while the model is called.

        Args:
            factor: The examples of the global batch for each of the call's; the same on
                all replicas.
        """
        if not self._own or factor == 1:
            yield
            return
        self._inside += 1
        try:
            for layer, own in self._own:
                layer.activity_regularizer = _times(factor, own)
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                for layer, own in self._own:
                    layer.activity_regularizer = own


def _times(
    factor: float, regularizer: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda outputs: factor * regularizer(outputs)
