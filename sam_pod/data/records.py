"""One example: in a source, in a TFRecord file and in a batch.

A file holds them as tf.train.Example: 'image', the bytes of all pixels (uint8,
row-major) or of an encoded image (JPEG, PNG and the like), and 'label', one int64.
Where labels are noisy on purpose, 'true_label' says what they were.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

SPLITS = ("train", "test")

# The specification that tf.io.parse_example takes.
FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split, read anew at each call of `examples`."""

    num_examples: int
    examples: Callable[[], Iterator[tuple[np.ndarray, int]]]
    describe: Callable[[int], str] = "example {}".format  # Names one in an error.


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a data set comes from."""

    name: str
    classes: tuple[str, ...]
    kind: str
    sha256: str  # Of the content, wherever it lies.
    splits: Mapping[str, Split]  # By the names in SPLITS.


def features(*, is_noisy: bool) -> dict[str, tf.io.FixedLenFeature]:
    """Return what tf.io.parse_example shall find, of labels with noise or without."""
    if is_noisy:
        return {**FEATURES, "true_label": FEATURES["label"]}
    return FEATURES


def encode(
    image: np.ndarray | bytes, label: int, true_label: int | None = None
) -> bytes:
    """Return one example as a serialized tf.train.Example."""
    example = tf.train.Example()
    content = image if isinstance(image, bytes) else image.tobytes()
    example.features.feature["image"].bytes_list.value.append(content)
    example.features.feature["label"].int64_list.value.append(label)
    if true_label is not None:
        example.features.feature["true_label"].int64_list.value.append(true_label)
    # Protocol buffers keep no order of a map's keys unless asked to.
    return example.SerializeToString(deterministic=True)


def parse(
    serialized: tf.Tensor, image_shape: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return uint8 images `[N, H, W, C]` and int32 labels `[N]` of a batch `[N]`."""
    features = tf.io.parse_example(serialized, FEATURES)
    images = tf.io.decode_raw(features["image"], tf.uint8)
    return (
        tf.reshape(images, [-1, *image_shape]),
        tf.cast(features["label"], tf.int32),
    )
