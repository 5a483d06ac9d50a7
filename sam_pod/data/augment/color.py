"""Changes of colour, of a batch of float images in [0, 1]."""

import tensorflow as tf

# tensorflow/models, research/slim/preprocessing/inception_preprocessing.py.
BRIGHTNESS = 32 / 255
SATURATION = (0.5, 1.5)
HUE = 0.2  # In full turns.
CONTRAST = (0.5, 1.5)
JITTER_DRAWS = 4


def brightness(images: tf.Tensor, uniform: tf.Tensor, delta: float) -> tf.Tensor:
    """Add one number in [-delta, delta) to each image in [0, 1], and clip to [0, 1]."""
    shift = (uniform * 2.0 - 1.0) * delta
    return tf.clip_by_value(images + shift[:, None, None, None], 0.0, 1.0)


def jitter(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Change brightness, saturation, hue and contrast as Inception's training does.

    The changes come in this order, the first of the four in its code. Values are
    clipped to [0, 1] at the end, and after the brightness, because below 0 there is no
    saturation.

    Args:
        images: float32 `[B, H, W, C]` in [0, 1]; of one channel, only brightness and
            contrast change.
        uniform: `[B, JITTER_DRAWS]` in [0, 1).
    """
    parts = tf.unstack(uniform[:, :, None, None, None], axis=1)
    images = brightness(images, uniform[:, 0], BRIGHTNESS)
    if images.shape[3] == 3:
        images = saturate(images, _between(SATURATION, parts[1]))
        images = turn_hue(images, (parts[2] * 2.0 - 1.0) * HUE)
    mean = tf.reduce_mean(images, [1, 2], keepdims=True)
    images = (images - mean) * _between(CONTRAST, parts[3]) + mean
    return tf.clip_by_value(images, 0.0, 1.0)


def saturate(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiply the saturation of HSV, at most up to 1, as tf.image.adjust_saturation.

    Args:
        images: float32 `[B, H, W, 3]`.
        factor: `[B, 1, 1, 1]`.
    """
    value = tf.reduce_max(images, -1, keepdims=True)
    chroma = value - tf.reduce_min(images, -1, keepdims=True)
    # Saturation is chroma / value: what remains until it is 1.
    most = tf.where(chroma > 0, value / tf.where(chroma > 0, chroma, 1.0), 1.0)
    return value - (value - images) * tf.minimum(factor, most)


def turn_hue(images: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Add to the hue of HSV, in whole turns, as tf.image.adjust_hue.

    Args:
        images: float32 `[B, H, W, 3]`.
        turns: `[B, 1, 1, 1]` in [-1, 1].
    """
    red, green, blue = (images[..., i : i + 1] for i in range(3))
    value = tf.reduce_max(images, -1, keepdims=True)
    chroma = value - tf.reduce_min(images, -1, keepdims=True)
    unit = tf.where(chroma > 0, chroma, 1.0)
    # Not `value == red`: a compiler may compute the two apart, and round otherwise.
    is_red = (red >= green) & (red >= blue)
    sector = tf.where(
        is_red,
        (green - blue) / unit,
        tf.where(green >= blue, (blue - red) / unit + 2.0, (red - green) / unit + 4.0),
    )
    sector += 6.0 * turns
    # Each channel falls from `value` by `chroma` while the hue is far from its own.
    far = (sector + tf.constant([5.0, 3.0, 1.0])) % 6.0
    return value - chroma * tf.clip_by_value(tf.minimum(far, 4.0 - far), 0.0, 1.0)


def _between(bounds: tuple[float, float], uniform: tf.Tensor) -> tf.Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * uniform
