"""The examples of a batch, as a step takes them."""

from typing import NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """Examples of one replica, as they are stored."""

    images: tf.Tensor  # uint8 `[B, H, W, C]`.
    labels: tf.Tensor  # int32 `[B]`.
    # float32 `[B]`: 1, or 0 for what fills up the last batch; None in training.
    mask: tf.Tensor | None = None

    @property
    def tensors(self) -> tuple[tf.Tensor, ...]:
        """Return what there is: a strategy hands tensors to replicas, and no None."""
        return tuple(part for part in self if part is not None)
