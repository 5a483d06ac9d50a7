"""Do the examples in a shard fit the manifest? All but the pixels is looked at."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from sam_pod.data.stored import example_fields, features, framing, records

if TYPE_CHECKING:
    from sam_pod.data.stored import manifest as manifest_lib

_BATCH = 2048


class Fit:
    """Looks at the records of a shard as they come, and keeps the first fault."""

    def __init__(
        self,
        path: str,
        split: str,
        manifest: "manifest_lib.Manifest",
        names: features.Features = features.PREPARED,
        picture_fault: Callable[[bytes], str] | None = None,
    ) -> None:
        """Take in what examples must fit; pictures are checked only with a function.

        Args:
            path: The shard's path.
            split: The shard's split.
            manifest: The manifest that its examples must fit.
            names: The names of their features.
            picture_fault: A function that returns what is wrong with an encoded
                picture, such as 'is a text', or ''.
        """
        self.corrupt: int | None = None  # Byte offset of a record.
        self.misfit = ""  # What is wrong with an example,
        self.example = b""  # which is this.
        self._path = path
        self._manifest = manifest
        self._names = names
        self._picture_fault = picture_fault
        self._is_noisy = manifest.label_noise is not None and split == "train"
        self._count = 0

    def visit(self, content: bytes, starts: list[int]) -> None:
        """Take whole records, and where they start."""
        if self.corrupt is not None or not starts:
            return
        first = 0  # Index of the batch's first example in `starts`.
        with framing.in_memory(content) as dataset:
            try:
                for serialized in dataset.batch(_BATCH):
                    self._check(serialized, starts[first:], self._count + first)
                    first += len(serialized)
            except tf.errors.DataLossError:
                self.corrupt = framing.first_corrupt(dataset, starts)
        self._count += len(starts)

    def _check(self, serialized: tf.Tensor, starts: list[int], first: int) -> None:
        if self.misfit:
            return
        fault = self._first_misfit(serialized)
        if fault:
            index, reason = fault
            self.example = serialized[index].numpy()
            self.misfit = (
                f"Example {first + index} of {self._path}, at byte {starts[index]}, "
                f"{reason}"
            )

    def _first_misfit(self, serialized: tf.Tensor) -> tuple[int, str] | None:
        """Return which example of a batch does not fit and why."""
        image, label = self._names.image, self._names.label
        stored = records.features(is_noisy=self._is_noisy)
        own = {"image": image, "label": label}
        spec = {own.get(name, name): feature for name, feature in stored.items()}
        labels = sorted(spec.keys() - {image})
        try:
            found = tf.io.parse_example(serialized, spec)
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
            # UnicodeDecodeError: TensorFlow's message quotes the raw bytes.
            if len(serialized) > 1:  # The error names no example: ask one by one.
                for index in range(len(serialized)):
                    if fault := self._first_misfit(serialized[index : index + 1]):
                        return index, fault[1]
            names = " and ".join(f"'{name}' (one int64)" for name in labels)
            has = _listed(serialized[0].numpy())
            return 0, f"is no tf.train.Example with '{image}' (bytes) and {names}{has}"
        faults = [self._bad_image(found[image])]
        faults += [
            self._bad_label(found[name], name.replace("_", " ")) for name in labels
        ]
        return min((fault for fault in faults if fault), default=None)

    def _bad_image(self, images: tf.Tensor) -> tuple[int, str] | None:
        lengths = tf.strings.length(images).numpy()
        if self._manifest.image_encoding == "encoded":
            index = _first(lengths == 0)
            if index is not None:
                return index, "has an image of 0 bytes"
            return self._bad_picture(images)
        num_bytes = math.prod(self._manifest.image_shape)
        index = _first(lengths != num_bytes)
        if index is None:
            return None
        height, width, channels = self._manifest.image_shape
        return index, (
            f"has an image of {lengths[index]} bytes; `image_shape` is "
            f"{height}x{width}x{channels}, {num_bytes} bytes"
        )

    def _bad_picture(self, images: tf.Tensor) -> tuple[int, str] | None:
        if self._picture_fault is None:
            return None
        for index, content in enumerate(images.numpy()):
            if fault := self._picture_fault(content):
                return index, f"has an image that {fault}"
        return None

    def _bad_label(self, labels: tf.Tensor, name: str) -> tuple[int, str] | None:
        labels = labels.numpy()
        count, low = len(self._manifest.classes), -self._names.label_offset
        index = _first((labels < low) | (labels >= low + count))
        if index is None:
            return None
        return index, (
            f"has {name} {labels[index]}; with {count} classes it must be from {low} "
            f"to {low + count - 1}"
        )


def _listed(serialized: bytes) -> str:
    """Return which features an example has, in words; nothing if it is none."""
    try:
        found = tf.train.Example.FromString(serialized).features.feature
    except Exception:  # The class is protobuf's own, by its implementation.
        return ""
    return f"; it has {example_fields.listed(found)}"


def _first(bad: np.ndarray) -> int | None:
    places = np.flatnonzero(bad)
    return int(places[0]) if places.size else None
