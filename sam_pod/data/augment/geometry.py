"""Where pixels come from: crop, flip, and affine maps, of a batch at once.

On a TPU a pixel's channels travel as one 32-bit number: for a crop of 128 images of
32 x 32, libtpu expects 61,000 cycles of a TPU v5e, and 771,000 byte by byte. Elsewhere
bytes are copied, which takes a CPU a third of the time; the pixels are the same.
"""

import math

import tensorflow as tf

from sam_pod.machines import tracing

ZERO, REFLECT = FILLS = ("zero", "reflect")  # What `crop` adds around an image.
FILL = 128  # The grey outside of what an affine map moved, of 255.
_SHIFT = 16  # Fixed point: one pixel is 1 << 16.


def crop(
    images: tf.Tensor,
    uniform: tf.Tensor,
    padding: int,
    flips: tf.Tensor | None = None,
    around: str = ZERO,
) -> tf.Tensor:
    """Pad each image and cut its old size out of it at random.

    Args:
        images: uint8 `[B, H, W, C]`.
        uniform: `[B, 2]` in [0, 1): row and column of the cut.
        padding: Pixels on each side; the cut has (2 * padding + 1)**2 positions.
        flips: The draws of `flip`, which is then done, too: it costs nothing here.
        around: What the padding is: zeros, or the image mirrored about its outermost
            pixels, which are not repeated; then `padding` is below both sides.
    """
    _, height, width, _ = images.shape
    order = tf.range(width)[None]
    if flips is not None:
        order = tf.where((flips < 0.5)[:, None], order[:, ::-1], order)
    offsets = tf.cast(uniform * (2 * padding + 1), tf.int32)
    if around == REFLECT:
        offsets -= padding
        rows = _reflected(offsets[:, :1, None] + tf.range(height)[:, None], height)
        columns = _reflected((offsets[:, 1:] + order)[:, None], width)
        return _pick(images, rows, columns, fill=None)
    if not tracing.is_for_a_tpu():
        sides = [padding, padding]
        images = tf.pad(images, [[0, 0], sides, sides, [0, 0]])
        rows = offsets[:, :1, None] + tf.range(height)[:, None]
        columns = (offsets[:, 1:] + order)[:, None]
        return _copied(images, rows * (width + 2 * padding) + columns)
    offsets -= padding
    rows = offsets[:, :1, None] + tf.range(height)[:, None]  # [B, H, 1]
    columns = (offsets[:, 1:] + order)[:, None]  # [B, 1, W]
    return _pick(images, rows, columns, fill=0)


def flip(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Mirror left to right the images whose draw `[B]` is below one half."""
    mirrored = (uniform < 0.5)[:, None, None, None]
    # One pass over the images where XLA compiles it, as it does a TPU's step; the
    # kernels of a CPU need four.
    is_on_cpu = not (tracing.is_for_a_tpu() or tf.config.list_logical_devices("GPU"))
    return (_compiled_flip if is_on_cpu else _flip)(images, mirrored)


def _flip(images: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    return tf.where(mirrored, tf.reverse(images, [2]), images)


_compiled_flip = tf.function(_flip, jit_compile=True, autograph=False)


def affine(images: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Take each pixel from where an affine map says, or FILL from outside.

    The result is that of Pillow's Image.transform(AFFINE) with the nearest pixel, bit
    for bit.

    Args:
        images: uint8 `[B, H, W, C]`.
        maps: int32 `[B, 6]`, as returned by `fixed_point`.
    """
    _, height, width, _ = images.shape
    a, b, c, d, e, f = (part[:, None, None] for part in tf.unstack(maps, axis=1))
    y, x = tf.range(height)[:, None], tf.range(width)
    columns = tf.bitwise.right_shift(x * a + y * b + c, _SHIFT)
    rows = tf.bitwise.right_shift(x * d + y * e + f, _SHIFT)
    return _pick(images, rows, columns, fill=FILL)


def fixed_point(
    a: float, b: float, c: float, d: float, e: float, f: float
) -> list[int]:
    """Return the map (x, y) -> (ax + by + c, dx + ey + f) of pixels' centres.

    Six whole numbers, so that every device computes the same (libImaging/Geometry.c,
    affine_fixed).
    """
    values = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
    return [math.floor(value * (1 << _SHIFT) + 0.5) for value in values]


def _pick(
    images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, fill: int | None
) -> tf.Tensor:
    """Return the pixels at int32 (rows, columns) of `[B, H, W]`, `fill` outside.

    With None all of them must lie inside.
    """
    _, height, width, _ = images.shape
    if fill is None:
        return _taken(images, rows * width + columns)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    places = tf.clip_by_value(rows, 0, height - 1) * width
    places += tf.clip_by_value(columns, 0, width - 1)
    picked = _taken(images, places)
    return tf.where(inside[..., None], picked, tf.constant(fill, tf.uint8))


def _reflected(places: tf.Tensor, size: int) -> tf.Tensor:
    """Return places from 1 - size to 2 * size - 2 mirrored into [0, size)."""
    return size - 1 - tf.abs(size - 1 - tf.abs(places))


def _taken(images: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Return the pixels at `places` of each flattened image, int32 `[B, H', W']`."""
    _, height, width, channels = images.shape
    if not tracing.is_for_a_tpu():
        return _copied(images, places)
    picked = []
    for first in range(0, channels, 3):
        parts = tf.unstack(images[..., first : first + 3], axis=-1)
        packed = tf.zeros_like(parts[0], tf.int32)
        for i, part in enumerate(parts):
            packed += tf.cast(part, tf.int32) * (1 << (8 * i))
        flat = tf.reshape(packed, [-1, height * width])
        packed = tf.gather(flat, places, batch_dims=1)
        picked += [
            tf.cast(tf.bitwise.right_shift(packed, 8 * i) & 255, tf.uint8)
            for i in range(len(parts))
        ]
    return tf.stack(picked, axis=-1)


def _copied(images: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Return the pixels at `places` of each flattened image, int32 `[B, H', W']`."""
    _, height, width, channels = images.shape
    flat = tf.reshape(images, [-1, height * width, channels])
    return tf.gather(flat, places, batch_dims=1)
