"""What happens to a pixel by its value alone: a table of 256 numbers per channel.

Tables are int32 `[B, C, 256]`, so an operation costs 256 numbers and not an image, and
an image is looked up once whichever operation it drew. Whole numbers throughout: every
device computes the same. Sources: Pillow's ImageOps, ImageEnhance and Blend.c, which
use floats; where the exact result is a whole number theirs may come out one below.

Histograms and look-ups are products of one-hot matrices, exact in bfloat16 also: a TPU
does not gather single bytes (libtpu compiles such a gather for minutes).
"""

import tensorflow as tf

ONE = 1 << 16  # A factor of 1.0, in fixed point.


def look_up(images: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Return the values of the tables at the pixels.

    Args:
        images: uint8 `[B, H, W, C]`.
        tables: int32 in [0, 255], `[B, C, 256]`.
    """
    _, height, width, channels = images.shape
    high, low = _one_hot_nibbles(images)
    square = tf.reshape(tf.cast(tables, tf.float32), [-1, channels, 16, 16])
    values = tf.reduce_sum(tf.matmul(high, square) * low, -1)
    values = tf.reshape(values, [-1, channels, height, width])
    return tf.cast(tf.transpose(values, [0, 2, 3, 1]), tf.uint8)


def histogram(images: tf.Tensor) -> tf.Tensor:
    """Return how often each value is in each channel: `[B, H, W, C]` -> table."""
    high, low = _one_hot_nibbles(images)
    counts = tf.matmul(high, low, transpose_a=True)  # [B, C, 16, 16]
    channels = images.shape[3]
    return tf.cast(tf.reshape(counts, [-1, channels, 256]), tf.int32)


def _one_hot_nibbles(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return 1.0 at the upper and the lower four bits: float32 `[B, C, HW, 16]`."""
    _, height, width, channels = images.shape
    pixels = tf.transpose(tf.cast(images, tf.int32), [0, 3, 1, 2])
    pixels = tf.reshape(pixels, [-1, channels, height * width, 1])
    values = tf.range(16)
    high = tf.cast(tf.bitwise.right_shift(pixels, 4) == values, tf.float32)
    return high, tf.cast(pixels & 15 == values, tf.float32)


def blend(start: tf.Tensor, end: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Go from one value to the other by a factor, ONE being all the way, and beyond.

    int32 of shapes that broadcast; rounded down and clipped to [0, 255]. Factors of
    two decimals come out as exact arithmetic would have it.
    """
    value = start * ONE + factor * (end - start) + 128
    return tf.clip_by_value(tf.bitwise.right_shift(value, 16), 0, 255)


def invert() -> tf.Tensor:
    """Return the negative."""
    return 255 - tf.range(256)


def posterize(bits: tf.Tensor) -> tf.Tensor:
    """Keep the upper bits: int32 `[B]` in [0, 8] -> `[B, 1, 256]`."""
    drop = (8 - bits)[:, None, None]
    values = tf.bitwise.right_shift(tf.range(256), drop)
    return tf.bitwise.left_shift(values, drop)


def solarize(threshold: tf.Tensor) -> tf.Tensor:
    """Invert from a threshold on: int32 `[B]` -> `[B, 1, 256]`."""
    values = tf.range(256)
    return tf.where(values < threshold[:, None, None], values, 255 - values)


def brightness(factor: tf.Tensor) -> tf.Tensor:
    """Blend from black: int32 `[B]` -> `[B, 1, 256]`."""
    return blend(tf.constant(0), tf.range(256), factor[:, None, None])


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blend from the mean grey of each image: int32 `[B]` -> `[B, 1, 256]`."""
    _, height, width, _ = images.shape
    total = tf.reduce_sum(grey(images), [1, 2, 3])
    area = height * width
    mean = (2 * total + area) // (2 * area)
    return blend(mean[:, None, None], tf.range(256), factor[:, None, None])


def autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Stretch each channel to [0, 255], but one of a single value: `[B, C, 256]`."""
    images = tf.cast(images, tf.int32)
    low = tf.reduce_min(images, [1, 2])[..., None]
    high = tf.reduce_max(images, [1, 2])[..., None]
    values = tf.range(256)
    spread = (values - low) * 255 // tf.maximum(high - low, 1)
    return tf.where(high > low, tf.clip_by_value(spread, 0, 255), values)


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Make all values equally frequent in each channel: `[B, C, 256]`."""
    counts = histogram(images)
    values = tf.range(256)
    highest = tf.reduce_max(tf.cast(images, tf.int32), [1, 2])[..., None]
    last = tf.reduce_sum(tf.where(values == highest, counts, 0), -1, keepdims=True)
    step = (images.shape[1] * images.shape[2] - last) // 255
    below = tf.cumsum(counts, axis=-1, exclusive=True)
    spread = (below + step // 2) // tf.maximum(step, 1)
    return tf.where(step > 0, tf.minimum(spread, 255), values)


def grey(images: tf.Tensor) -> tf.Tensor:
    """Return the luminance as Pillow has it (ITU-R 601-2): int32 `[B, H, W, 1]`."""
    images = tf.cast(images, tf.int32)
    if images.shape[3] == 1:
        return images
    red, green, blue = (images[..., i : i + 1] for i in range(3))
    return tf.bitwise.right_shift(
        red * 19595 + green * 38470 + blue * 7471 + (1 << 15), 16
    )
