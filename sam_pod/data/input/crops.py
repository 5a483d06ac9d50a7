"""Which part of a large image is cut out: boxes, before any pixel is decoded.

    box = crops.random_box(shape, crops.tries(uniform))  # To train.
    box = crops.central_box(shape)  # To evaluate.
    tf.image.decode_and_crop_jpeg(image, box, channels=3)

Pure functions of the image's shape, int32 `[..., 2]`: height, width; of one image or of
a batch. A box is int32 `[..., 4]`, inside the image: y, x, height, width. The
operations are few, because each takes a microsecond or two for one image, and decoding
a thousand.
"""

import math

import tensorflow as tf

AREA = (0.08, 1.0)  # As a part of the image's area.
ASPECT = (3 / 4, 4 / 3)  # Width over height.
_ATTEMPTS = 10
NUM_DRAWS = 2 * _ATTEMPTS + 2  # Area and aspect of each attempt; then row and column.


def tries(uniform: tf.Tensor) -> tf.Tensor:
    """Return the part of `random_box` that is the same for images of any shape.

    Args:
        uniform: `[..., NUM_DRAWS]` in [0, 1).

    Returns:
        float32 `[..., 2, 11]`: height and width of ten tries over the square root of
        the image's area, then where the part lies in the room that it has.
    """
    area = AREA[0] + (AREA[1] - AREA[0]) * uniform[..., 0:-2:2]
    low, high = (math.log(bound) for bound in ASPECT)
    aspect = tf.exp(low + (high - low) * uniform[..., 1:-2:2])
    sizes = tf.sqrt(tf.stack([area / aspect, area * aspect], -2))
    return tf.concat([sizes, uniform[..., -2:, None]], -1)


def random_box(shape: tf.Tensor, tries: tf.Tensor) -> tf.Tensor:
    """Return the Inception crop: a part of even area and even logarithm of aspect.

    "Various sized patches of the image whose size is distributed evenly between 8% and
    100% of the image area with aspect ratio constrained to the interval [3/4, 4/3]"
    (arXiv 1409.4842, section 6). As torchvision's RandomResizedCrop, the first of ten
    tries that fits the image counts; if none fits, the largest central part does whose
    aspect is allowed.

    Args:
        shape: The image's shape.
        tries: The tries, as returned by `tries`.
    """
    sizes, place = tries[..., :-1], tries[..., -1]
    scale = tf.sqrt(tf.cast(tf.reduce_prod(shape, -1), tf.float32))
    sizes = tf.cast(tf.round(sizes * scale[..., None, None]), tf.int32)
    # Where none fits, the last does, which is no try.
    sizes = tf.concat([sizes, _largest(shape)[..., None]], -1)
    fits = tf.reduce_all((sizes > 0) & (sizes <= shape[..., None]), -2)
    first = tf.argmax(tf.cast(fits, tf.uint8), -1, tf.int32)
    size = tf.gather(sizes, first, axis=-1, batch_dims=first.shape.rank)
    room = shape - size
    corner = tf.cast(place * tf.cast(room + 1, tf.float32), tf.int32)
    # A number just below 1 times a size may round to the size.
    return tf.concat([tf.minimum(corner, room), size], -1)


def central_box(shape: tf.Tensor, fraction: float = 0.875) -> tf.Tensor:
    """Return the central square whose side is a fraction of the shorter side.

    Scaled to 224 pixels it is the usual view for evaluation: the shorter side at 256,
    the middle 224 (arXiv 1409.1556; tensorflow/tpu, resnet_preprocessing.py).

    Args:
        shape: The image's shape.
        fraction: The fraction, in (0, 1].
    """
    shorter = tf.cast(tf.reduce_min(shape, -1, keepdims=True), tf.float32)
    side = tf.maximum(tf.cast(fraction * shorter, tf.int32), 1)
    return tf.concat([(shape - side + 1) // 2, side, side], -1)


def _largest(shape: tf.Tensor) -> tf.Tensor:
    """Return height and width of the largest part whose aspect is allowed."""
    # The tallest for its width, and the widest for its height.
    limits = tf.round(tf.cast(shape[..., ::-1], tf.float32) * ASPECT[1])
    return tf.clip_by_value(tf.cast(limits, tf.int32), 1, shape)
