"""From a stored image to the square that a model sees, uint8 `[S, S, C]`.

These are graph operations on one image. Only the part of a JPEG that is looked at is
decoded; other kinds are decoded whole, then cut.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from sam_pod.data.pictures import decoding

# From an image's height and width, int32 `[2]`, to the part that is used, int32 `[4]`:
# y, x, height, width.
BoxFn = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Stored:
    """How images are stored."""

    encoding: str  # 'raw' or 'encoded'.
    shape: tuple[int, int, int]  # (H, W, C); (0, 0, C) for encoded images.


def view(
    content: tf.Tensor,
    stored: Stored,
    box: BoxFn,
    size: int,
    *,
    is_bicubic: bool = False,
) -> tf.Tensor:
    """Return the part `box` of one image, scaled to uint8 `[size, size, C]`.

    Args:
        content: The bytes of the image, a scalar.
        stored: The way in which it is stored.
        box: The box of the part.
        size: The pixels of a side; a part that has this size is left as it is.
        is_bicubic: Whether it is scaled by cubic curves (Keys', a = -1/2, as in
            Pillow), or else by straight lines; neither looks at more pixels where it
            scales down.
    """
    channels = stored.shape[2]
    if stored.encoding == "raw":
        part = _cut(tf.reshape(tf.io.decode_raw(content, tf.uint8), stored.shape), box)
    else:
        part = tf.cond(
            tf.io.is_jpeg(content),
            lambda: _decode_part(content, box, channels),
            lambda: _cut(decoding.other(content, channels), box),
        )
    part.set_shape([None, None, channels])
    scaled = _scaled(part, size, "bicubic" if is_bicubic else "bilinear")
    return tf.ensure_shape(scaled, [size, size, channels])


def mirror(image: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Return the image, mirrored left to right where the bool scalar is true.

    While a processor has the image at hand this takes some ten microseconds for
    224x224; in the step, on a batch that it has to fetch once more, about a hundred.
    """
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)


def _decode_part(content: tf.Tensor, box: BoxFn, channels: int) -> tf.Tensor:
    window = box(tf.io.extract_jpeg_shape(content)[:2])
    return decoding.jpeg_part(content, window, channels)


def _cut(image: tf.Tensor, box: BoxFn) -> tf.Tensor:
    y, x, height, width = tf.unstack(box(tf.shape(image)[:2]))
    return image[y : y + height, x : x + width]


def _scaled(image: tf.Tensor, size: int, method: str) -> tf.Tensor:
    """Return the image at its new size, interpolated at the centres of pixels."""

    def resized() -> tf.Tensor:
        # From float32 the kernel takes 0.18 ms for 224x224, from uint8 0.30 ms.
        pixels = tf.cast(image, tf.float32)
        pixels = tf.image.resize(pixels, [size, size], method)
        if method == "bicubic":  # It overshoots at edges.
            pixels = tf.clip_by_value(pixels, 0.0, 255.0)
        # Interpolation stays in [0, 255]; half a unit more makes the cast round.
        return tf.cast(pixels + 0.5, tf.uint8)

    fits = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    return tf.cond(fits, lambda: image, resized)
