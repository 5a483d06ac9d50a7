"""One example: in a source, in a TFRecord file and in a batch.

A file holds them as tf.train.Example: 'image', the bytes of all pixels (uint8,
row-major) or of an encoded image (JPEG, PNG and the like), and 'label', one int64.
Where labels are noisy on purpose, 'true_label' says what they were.

TensorFlow is imported by what needs it: a manifest is read without.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

SPLITS = ("train", "test")
VALIDATION = "validation"  # A split that a data set may have besides.


class Item(NamedTuple):
    """An example as a source gives it."""

    image: np.ndarray | bytes  # uint8 `[H, W, C]`, or encoded: JPEG, PNG and the like.
    label: int
    key: str  # Which example of the source it is, such as its path.
    fault: str = ""  # Why it has no image, which then is empty: 'has no …'.


@dataclasses.dataclass(frozen=True)
class SourceSplit:
    """The examples of one split, in an order that never changes."""

    num_examples: int
    num_bytes: int  # The approximate bytes of its images as the source has them.
    # Examples [start, stop). What it returns can be sent to another process, where
    # there is to be more than one.
    read: Callable[[int, int], Iterable[Item]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Where a data set comes from."""

    name: str
    classes: tuple[str, ...]
    kind: str
    place: str  # The path to name in an error.
    splits: Mapping[str, SourceSplit]  # The SPLITS, and perhaps VALIDATION.
    fingerprint: str  # Another one when the content may have changed.
    # The digest of the content, wherever it lies, or else of all examples.
    sha256: str = ""
    channels: int = 3
    # What was decided without being asked for, a line each: logged, and stored.
    decisions: tuple[str, ...] = ()


def present(splits: Mapping[str, object]) -> tuple[str, ...]:
    """Return which splits there are, in the order in which they are stored."""
    return tuple(name for name in (*SPLITS, VALIDATION) if name in splits)


def features(*, is_noisy: bool = False) -> "dict[str, tf.io.FixedLenFeature]":
    """Return the features for tf.io.parse_example, with noisy labels or without."""
    import tensorflow as tf

    label = tf.io.FixedLenFeature([], tf.int64)
    found = {"image": tf.io.FixedLenFeature([], tf.string), "label": label}
    return {**found, "true_label": label} if is_noisy else found


def encode(
    image: np.ndarray | bytes, label: int, true_label: int | None = None
) -> bytes:
    """Return one example as a serialized tf.train.Example."""
    import tensorflow as tf

    example = tf.train.Example()
    content = image if isinstance(image, bytes) else image.tobytes()
    example.features.feature["image"].bytes_list.value.append(content)
    example.features.feature["label"].int64_list.value.append(label)
    if true_label is not None:
        example.features.feature["true_label"].int64_list.value.append(true_label)
    # Protocol buffers keep no order of a map's keys unless asked to.
    return example.SerializeToString(deterministic=True)


def parse(
    serialized: "tf.Tensor", image_shape: Sequence[int]
) -> "tuple[tf.Tensor, tf.Tensor]":
    """Return uint8 images `[N, H, W, C]` and int32 labels `[N]` of a batch `[N]`."""
    import tensorflow as tf

    found = tf.io.parse_example(serialized, features())
    images = tf.io.decode_raw(found["image"], tf.uint8)
    return (
        tf.reshape(images, [-1, *image_shape]),
        tf.cast(found["label"], tf.int32),
    )
