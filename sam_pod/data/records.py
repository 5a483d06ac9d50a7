"""One example: in a source, in a TFRecord file and in a batch.

A source gives images `[H, W, C]` of uint8 with a label. A file holds them as
tf.train.Example: 'image', the raw bytes in row-major order, and 'label', one int64.
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


def encode(image: np.ndarray, label: int) -> bytes:
    """Return one example as a serialized tf.train.Example."""
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(image.tobytes())
    example.features.feature["label"].int64_list.value.append(label)
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
