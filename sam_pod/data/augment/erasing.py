"""Hiding a part of each image."""

from collections.abc import Sequence

import tensorflow as tf


def cutout(
    images: tf.Tensor, uniform: tf.Tensor, size: int, fill: Sequence[float]
) -> tf.Tensor:
    """Fill a square of each image with one colour: Cutout, arXiv 1708.04552.

    Its centre may be any pixel, so a part of it may lie outside of the image.

    Args:
        images: float32 `[B, H, W, C]`.
        uniform: `[B, 2]` in [0, 1): row and column of the centre.
        size: Pixels of the square's side.
        fill: One number per channel; the mean of the data, as the paper has it by
            filling with 0 after standardization.
    """
    _, height, width, _ = images.shape
    y = tf.cast(uniform[:, 0] * height, tf.int32)[:, None, None] - size // 2
    x = tf.cast(uniform[:, 1] * width, tf.int32)[:, None, None] - size // 2
    hidden = within(y, x, y + size, x + size, height, width)
    return tf.where(hidden[..., None], tf.constant(fill, images.dtype), images)


def within(
    top: tf.Tensor,
    left: tf.Tensor,
    bottom: tf.Tensor,
    right: tf.Tensor,
    height: int,
    width: int,
) -> tf.Tensor:
    """Return which pixels are in boxes, the last row and column not: `[B, H, W]`."""
    rows, columns = tf.range(height)[:, None], tf.range(width)
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
