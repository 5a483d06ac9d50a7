"""Means over micro-batches, in the same bits each time.

Others read what is averaged, so that tf.add_n would have none (`sum_in_order`).
"""

from collections.abc import Sequence

import tensorflow as tf

from sam_pod.sam import gradients
from sam_pod.sam.gradients import Tensors


def of_each(parts: Sequence[Sequence[tf.Tensor]]) -> Tensors:
    """Return the mean over parts of each of their tensors, summed in their order."""
    return [of(tensors) for tensors in zip(*parts, strict=True)]


def of(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the mean of tensors, summed in their order."""
    if len(tensors) == 1:
        return tensors[0]
    return gradients.sum_in_order(tensors) / len(tensors)
