"""Augmentation inside the compiled step: pure functions of a batch and its draws.

Images come to the device as uint8, a quarter of the bytes. The draws of a whole global
batch are made from one key and each replica takes its own rows, so an example is
augmented alike however many replicas there are.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from sam_pod import errors

NUM_DRAWS = 4  # Uniform numbers per example: crop row, crop column, flip, brightness.


def draws(key: tf.Tensor, global_batch_size: int) -> tf.Tensor:
    """Return what chance decides for a global batch: float32 in [0, 1), `[G, 4]`."""
    return tf.random.stateless_uniform([global_batch_size, NUM_DRAWS], key)


def build(
    names: str, *, crop_padding: int, brightness_delta: float
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the augmentation (images, draws) -> images that `names` lists.

    Args:
        names: Of 'crop', 'flip' and 'brightness', joined by commas; '' for none. The
            order of work is always: crop, flip, scale to [0, 1], brightness.
        crop_padding: Pixels of zeros on each side before a crop to the old size.
        brightness_delta: Largest change of brightness, in [0, 1] pixel units.

    Raises:
        UserError: a name that is not known.
    """
    known = dict.fromkeys(("crop", "flip", "brightness"), True)
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        errors.lookup(known, name, "data.augment")

    def augment(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        if "crop" in chosen:
            images = crop(images, uniform[:, 0:2], crop_padding)
        if "flip" in chosen:
            images = flip(images, uniform[:, 2])
        images = to_float(images)
        if "brightness" in chosen:
            images = brightness(images, uniform[:, 3], brightness_delta)
        return images

    return augment


def crop(images: tf.Tensor, uniform: tf.Tensor, padding: int) -> tf.Tensor:
    """Pad each image with zeros and cut its old size out of it at random.

    Args:
        images: `[B, H, W, C]`, any type.
        uniform: `[B, 2]` in [0, 1): row and column of the cut.
        padding: Pixels on each side; the cut has (2 * padding + 1)**2 positions.
    """
    _, height, width, channels = images.shape
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    offsets = tf.cast(uniform * (2 * padding + 1), tf.int32)
    rows = offsets[:, :1] + tf.range(height)  # [B, H]
    columns = offsets[:, 1:] + tf.range(width)  # [B, W]
    pixels = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    area = (height + 2 * padding) * (width + 2 * padding)
    flat = tf.reshape(padded, [-1, area, channels])
    return tf.gather(flat, pixels, batch_dims=1)


def flip(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Mirror left to right the images whose draw `[B]` is below one half."""
    mirrored = (uniform < 0.5)[:, None, None, None]
    return tf.where(mirrored, tf.reverse(images, [2]), images)


def brightness(images: tf.Tensor, uniform: tf.Tensor, delta: float) -> tf.Tensor:
    """Add one number in [-delta, delta) to each image in [0, 1], and clip to [0, 1]."""
    shift = (uniform * 2.0 - 1.0) * delta
    return tf.clip_by_value(images + shift[:, None, None, None], 0.0, 1.0)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Scale uint8 images to float32 in [0, 1]."""
    return tf.cast(images, tf.float32) * (1.0 / 255.0)


def standardize(
    images: tf.Tensor, mean: Sequence[float], std: Sequence[float]
) -> tf.Tensor:
    """Subtract the mean of each channel and divide by its standard deviation."""
    return (images - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)
