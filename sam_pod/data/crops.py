"""Which part of a large image is cut out: boxes, before any pixel is decoded.

    y, x, h, w = crops.random_box(height, width, uniform)  # To train.
    y, x, h, w = crops.central_box(height, width)  # To evaluate.
    tf.image.decode_and_crop_jpeg(image, tf.stack([y, x, h, w]), channels=3)

Pure functions of the image's size and of uniform numbers: element by element over any
common shape `[...]`, so of one image or of a batch.
"""

import math

import tensorflow as tf

AREA = (0.08, 1.0)  # Of the image's area.
ASPECT = (3 / 4, 4 / 3)  # Width over height.
_ATTEMPTS = 10
NUM_DRAWS = 2 * _ATTEMPTS + 2  # Area and aspect of each attempt; then row and column.

Box = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]  # y, x, height, width.


def random_box(height: tf.Tensor, width: tf.Tensor, uniform: tf.Tensor) -> Box:
    """Return the Inception crop: a part of even area and even logarithm of aspect.

    "Various sized patches of the image whose size is distributed evenly between 8% and
    100% of the image area with aspect ratio constrained to the interval [3/4, 4/3]"
    (arXiv 1409.4842, section 6). As torchvision's RandomResizedCrop, the first of ten
    tries that fits the image counts; if none fits, the largest central part does whose
    aspect is allowed.

    Args:
        height: Of the image in pixels, int32 `[...]`.
        width: Likewise.
        uniform: `[..., NUM_DRAWS]` in [0, 1).

    Returns:
        int32 `[...]`, inside the image: y, x, height, width.
    """
    area, aspect = uniform[..., 0:-2:2], uniform[..., 1:-2:2]
    area = AREA[0] + (AREA[1] - AREA[0]) * area
    area *= tf.cast(height * width, tf.float32)[..., None]
    low, high = (math.log(bound) for bound in ASPECT)
    aspect = tf.exp(low + (high - low) * aspect)
    heights = tf.cast(tf.round(tf.sqrt(area / aspect)), tf.int32)
    widths = tf.cast(tf.round(tf.sqrt(area * aspect)), tf.int32)
    fits = (heights > 0) & (heights <= height[..., None])
    fits &= (widths > 0) & (widths <= width[..., None])

    # Where none fits, the last does, which is no try.
    tries = zip((heights, widths), _largest_box(height, width), strict=True)
    heights, widths = (tf.concat([each, last[..., None]], -1) for each, last in tries)
    fits = tf.concat([fits, tf.ones_like(fits[..., :1])], -1)
    first = tf.argmax(tf.cast(fits, tf.uint8), -1, tf.int32)
    h, w = (
        tf.gather(each, first, axis=-1, batch_dims=first.shape.rank)
        for each in (heights, widths)
    )
    y = tf.cast(uniform[..., -2] * tf.cast(height - h + 1, tf.float32), tf.int32)
    x = tf.cast(uniform[..., -1] * tf.cast(width - w + 1, tf.float32), tf.int32)
    # A number just below 1 times a size may round to the size.
    return tf.minimum(y, height - h), tf.minimum(x, width - w), h, w


def central_box(height: tf.Tensor, width: tf.Tensor, fraction: float = 0.875) -> Box:
    """Return the central square whose side is a fraction of the shorter side.

    Scaled to 224 pixels it is the usual view for evaluation: the shorter side at 256,
    the middle 224 (arXiv 1409.1556; tensorflow/tpu, resnet_preprocessing.py).

    Args:
        height: Of the image in pixels, int32 `[...]`.
        width: Likewise.
        fraction: In (0, 1].

    Returns:
        int32 `[...]`: y, x, height, width.
    """
    shorter = tf.minimum(height, width)
    side = tf.cast(fraction * tf.cast(shorter, tf.float32), tf.int32)
    side = tf.maximum(side, 1)
    return (height - side + 1) // 2, (width - side + 1) // 2, side, side


def _largest_box(height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return height and width of the largest part whose aspect is allowed."""
    low, high = ASPECT
    tallest = tf.cast(tf.round(tf.cast(width, tf.float32) / low), tf.int32)
    widest = tf.cast(tf.round(tf.cast(height, tf.float32) * high), tf.int32)
    return (
        tf.clip_by_value(tallest, 1, height),
        tf.clip_by_value(widest, 1, width),
    )
