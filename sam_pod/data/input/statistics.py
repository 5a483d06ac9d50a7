"""Mean and deviation of the pixels of TFRecord sets that other tools wrote."""

import os

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import conversion, culprit, notes, random_access
from sam_pod.data.pictures import decoding, pixel_sums
from sam_pod.data.stored import features, records
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.data.stored.untuned import untuned

EXAMPLES = 4096  # Examples for mean and deviation, evenly spaced.
CHANNELS = 3
_PIXELS = f"--image_shape={conversion.UNKNOWN_SHAPE}"


def read(
    directory: str,
    manifest: manifest_lib.Manifest,
    sample: random_access.Records,
    names: features.Features,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel, as kept or computed again.

    Args:
        directory: The set's folder.
        manifest: The set's manifest.
        sample: The records to train on.
        names: The names of the features.

    Raises:
        UserError: an image cannot be decoded.
    """
    kind = f"statistics {manifest.source['sha256']}"
    kept = notes.read(directory, kind)
    try:
        mean, std = (tuple(float(value) for value in part) for part in kept)
        if len(mean) == len(std) == CHANNELS:
            return mean, std
    except (TypeError, ValueError):
        pass  # There is nothing, or it was not we who wrote it.
    mean, std = _statistics_of(directory, sample, names)
    notes.write(directory, kind, [mean, std])
    return mean, std


def _statistics_of(
    directory: str, sample: random_access.Records, names: features.Features
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel, pixels in [0, 1], of a sample."""
    count = min(EXAMPLES, len(sample))
    rows = np.arange(count) * len(sample) // count

    def sums(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        spec = {names.image: records.features()["image"]}
        content = tf.io.parse_single_example(serialized, spec)[names.image]
        image = decoding.whole(content, CHANNELS)
        pixels = tf.cast(tf.reshape(image, [-1, CHANNELS]), tf.int64)
        return (
            tf.shape(pixels, tf.int64)[0],
            tf.reduce_sum(pixels, 0),
            tf.reduce_sum(pixels * pixels, 0),
        )

    images = tf.data.Dataset.from_tensor_slices(rows.astype(np.int64))
    images = images.map(
        lambda row: sums(sample.read(row)), num_parallel_calls=os.cpu_count()
    )
    total = pixel_sums.PixelSums()
    try:
        for count, *both in untuned(images).as_numpy_iterator():
            of_image = (part.tolist() for part in both)
            total.merge(pixel_sums.PixelSums(int(count), *of_image))
    except culprit.OF_CONTENT as error:
        found = culprit.first(sample, sums, rows, split="train")
        if not found:
            raise
        raise errors.UserError(
            f"{found} If it holds pixels and no file of an image: "
            f"{conversion.way_on(directory, names, options=[_PIXELS])}"
        ) from error
    return total.mean_and_std()
