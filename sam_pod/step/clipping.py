"""Clipping of the averaged gradient by its norm."""

import tensorflow as tf

from sam_pod import sam
from sam_pod.sam.gradients import Tensors


class Clip:
    """Shorten gradients to a largest norm, and note how long they were.

    It stands after the mean over replicas, as in the official code, whose largest norm
    is 5.0: an ascent of length rho does not depend on any clipping before it.
    """

    def __init__(self, largest: float) -> None:
        """Take the largest norm; 0 for any."""
        self._largest = largest
        self.norms: list[tf.Tensor] = []  # Before clipping.

    def __call__(self, gradient: Tensors) -> Tensors:
        """Return the gradient, or its direction at the largest norm."""
        if not self._largest:
            return gradient
        norm = tf.sqrt(sam.squared_norm(gradient))
        self.norms.append(norm)
        largest = tf.cast(self._largest, norm.dtype)
        scale = tf.where(norm < largest, tf.ones_like(norm), largest / norm)
        return [scale * g for g in gradient]
