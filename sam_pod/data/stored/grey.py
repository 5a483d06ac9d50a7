"""From colours to grey and back: one formula wherever images are made or read.

Grey is (19595 R + 38470 G + 7471 B + 32768) // 65536, the luma of ITU-R BT.601 as
Pillow's `convert("L")` has it; where R, G and B are equal it is that value. From grey
to colours the one channel is repeated.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

WEIGHTS = (19595, 38470, 7471)  # As parts of 65536.

CHANNELS = (0, 1, 3)  # Possible requests; 0 means as it is stored.


def array(image: np.ndarray, channels: int) -> np.ndarray:
    """Return a uint8 image `[..., 1 or 3]` with this number of channels."""
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, -1)
    total = image.astype(np.int64) @ np.array(WEIGHTS)
    return ((total + 32768) >> 16).astype(np.uint8)[..., np.newaxis]


def tensor(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Return uint8 images `[..., 1 or 3]` with this number of channels, in a graph."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return tf.repeat(images, 3, -1)
    weighted = tf.cast(images, tf.int32) * tf.constant(WEIGHTS)
    total = tf.reduce_sum(weighted, -1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(total + 32768, 16), tf.uint8)


def statistic(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return a mean per channel for the number of channels that is asked for.

    It is exact but for the rounding of grey values; for deviations, only where the
    channels are equal.
    """
    if len(values) == channels:
        return tuple(values)
    if channels == 3:
        return tuple(values) * 3
    if len(set(values)) == 1:
        return (values[0],)
    weighted = zip(values, WEIGHTS, strict=True)
    return (sum(value * weight for value, weight in weighted) / 65536,)
