"""Examples out of the shards: all of a split at once, or those that are asked for.

Both ways give the same bytes. They are graph operations on files, because the hosts of
a slice run none of this Python.
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import attempts, crops, random_access, views
from sam_pod.data.stored import features, grey
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.storage import files

_BUFFER_BYTES = 8 << 20  # In one request, where a whole file is read.
# The images that are put together at a time, where all are held.
_PART_BYTES = 16 << 20
_LOOKED_AT = 256  # Examples at a time, where some are left out.
# Requests under way at a time where each has to cross a network. With 50 ms each and
# 110 kB an image that is 2,500 images and 280 MB a second.
_REMOTE_REQUESTS = 128


@dataclasses.dataclass(frozen=True)
class View:
    """How examples become arrays; the defaults are for raw images as they are."""

    image_size: int = 0  # Pixels of a side; 0 for the stored size.
    channels: int = 0  # 1 for grey, 3 for colours; 0 as they are stored.
    random_parts: bool = False  # Inception's crop in training.
    central_fraction: float = 0.875  # Of the shorter side, seen where nothing is drawn.
    is_bicubic: bool = False  # How what has another size is scaled; or bilinear.
    mirrors: bool = False  # Whether half of those parts, at random, are mirrored.
    is_held: bool = True  # Decoded once and held in memory; else read when needed.
    names: features.Features = features.PREPARED
    # By stored split, one array for each shard, as returned by `offsets.read`.
    offsets: Mapping[str, Sequence[np.ndarray]] = dataclasses.field(
        default_factory=dict
    )


AS_STORED = View()


class Places(NamedTuple):
    """The examples of a batch, and the draws for each; None where nothing is drawn."""

    rows: tf.Tensor  # int64 `[B]`: their numbers in a split, or in its files.
    box_draws: tf.Tensor | None = None  # As returned by `crops.tries`, `[B, ...]`.
    mirrored: tf.Tensor | None = None  # bool `[B]`.


def image_shape(
    manifest: manifest_lib.Manifest, image_size: int, channels: int = 0
) -> tuple[int, int, int]:
    """Return (H, W, C) of the images that a model sees.

    Args:
        manifest: The manifest of the images.
        image_size: The value of `View.image_size`.
        channels: The value of `View.channels`.

    Raises:
        UserError: images of any size, and none is asked for.
    """
    *stored, there = manifest.image_shape
    channels = channels or there
    if image_size:
        return image_size, image_size, channels
    if not all(stored):
        raise errors.UserError(
            f"`data.image_size` is 0, but {manifest.name!r} holds encoded images of "
            "any size: set it to the side that the model will see, such as 224."
        )
    return (*stored, channels)


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads one stored split."""

    directory: str
    manifest: manifest_lib.Manifest
    stored: str  # 'train' or 'test'.
    view: View

    @property
    def paths(self) -> list[str]:
        """Its files."""
        shards = self.manifest.splits[self.stored]
        return [os.path.join(self.directory, shard.file) for shard in shards]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that come out."""
        return image_shape(self.manifest, self.view.image_size, self.view.channels)

    @property
    def records(self) -> random_access.Records:
        """Its records by number."""
        return random_access.Records(self.paths, self.view.offsets[self.stored])

    def held(self, batches: tf.data.Dataset, rows: np.ndarray) -> tf.data.Dataset:
        """Turn a dataset of `Places` into one of (images, labels).

        Args:
            batches: Places whose rows are places in `rows`.
            rows: The rows that may be asked for, int64 `[N]`; read once, before the
                first batch.
        """
        total = self.manifest.num_examples(self.stored)
        wanted, order = _chosen(rows, total)
        # What is read is put together in parts, so that no second copy is made of all.
        part = max(1, min(len(rows), _PART_BYTES // math.prod(self.image_shape)))
        serialized = self._whole_files(total)
        if len(rows) < total:
            serialized = _only(serialized, wanted)
        if self._is_plain:
            parts = serialized.batch(part).map(self._parse_plain, num_parallel_calls=2)
        else:
            parts = serialized.map(self.parse, num_parallel_calls=_cores()).batch(part)

        everything = _together(parts, part, len(rows)).cache().repeat()
        return tf.data.Dataset.zip((batches, everything)).map(
            lambda places, examples: tuple(
                tf.gather(each, tf.gather(order, places.rows)) for each in examples
            ),
            num_parallel_calls=2,
        )

    def streamed(
        self, batches: tf.data.Dataset, batch_size: int, *, draws: bool = False
    ) -> tf.data.Dataset:
        """Turn a dataset of `Places` in the files into one of (images, labels).

        Args:
            batches: Places of `batch_size` examples.
            batch_size: B.
            draws: Whether parts are drawn at random.
        """
        records, is_remote = self.records, files.is_remote(self.directory)
        reads = _REMOTE_REQUESTS if is_remote else 2 * _cores()
        places = batches.unbatch()
        if self._is_plain and not draws:
            contents = places.map(
                lambda place: records.read(place.rows), num_parallel_calls=reads
            )
            examples = contents.batch(batch_size, drop_remainder=True)
            examples = examples.map(self._parse_plain, num_parallel_calls=2)
        else:
            examples = places.map(
                lambda place: self.parse(
                    records.read(place.rows), place.box_draws, place.mirrored
                ),
                num_parallel_calls=reads,
            )
            examples = examples.batch(batch_size, drop_remainder=True)
        options = tf.data.Options()
        if is_remote:  # A request holds a thread until it is answered.
            options.threading.private_threadpool_size = reads + _cores()
        return examples.with_options(options)

    def _whole_files(self, total: int) -> tf.data.Dataset:
        if not files.is_remote(self.directory):
            return tf.data.TFRecordDataset(self.paths, buffer_size=_BUFFER_BYTES)

        def records_of(path: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
            # No more than is there, which the client of s3:// needs; as one element, so
            # that a file is read whole or once more.
            file = tf.data.TFRecordDataset(path, buffer_size=_BUFFER_BYTES).take(count)
            return attempts.persistent(file.batch(total))

        shards = self.manifest.splits[self.stored]
        counts = np.array([shard.num_examples for shard in shards])
        filled = np.array(self.paths)[counts > 0], counts[counts > 0]
        sources = tf.data.Dataset.from_tensor_slices(filled)
        return sources.flat_map(records_of).unbatch()

    @property
    def _is_plain(self) -> bool:
        """Whether bytes are pixels, once in shape."""
        size = self.manifest.image_shape[:2]
        return self.manifest.image_encoding == "raw" and self.image_shape[:2] == size

    def _parse_plain(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images and labels of serialized examples `[N]`."""
        contents, labels = self._features(serialized)
        pixels = tf.io.decode_raw(contents, tf.uint8)
        # The compiled step needs the size of a batch when it is traced.
        size = -1 if serialized.shape[0] is None else serialized.shape[0]
        images = tf.reshape(pixels, [size, *self.manifest.image_shape])
        return grey.tensor(images, self.image_shape[2]), labels

    def parse(
        self,
        serialized: tf.Tensor,
        box_draws: tf.Tensor | None = None,
        mirrored: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return image and label of one serialized example.

        Args:
            serialized: The serialized example, a string.
            box_draws: The example's row of `Places.box_draws`; None for the middle.
            mirrored: Whether it is mirrored, a scalar; None for no.
        """
        contents, labels = self._features(serialized[None])

        def box(shape: tf.Tensor) -> tf.Tensor:
            if box_draws is not None:
                return crops.random_box(shape, box_draws)
            fraction = self.view.central_fraction if self.view.random_parts else 1.0
            return crops.central_box(shape, fraction)

        stored = views.Stored(self.manifest.image_encoding, self.manifest.image_shape)
        image = views.view(
            contents[0],
            stored,
            box,
            self.image_shape[0],
            is_bicubic=self.view.is_bicubic,
        )
        image = grey.tensor(image, self.image_shape[2])
        if mirrored is not None:
            image = views.mirror(image, mirrored)
        return image, labels[0]

    def _features(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        names = self.view.names
        found = tf.io.parse_example(
            serialized,
            {
                names.image: tf.io.FixedLenFeature([], tf.string),
                names.label: tf.io.FixedLenFeature([], tf.int64),
            },
        )
        labels = found[names.label] + names.label_offset
        return found[names.image], tf.cast(labels, tf.int32)


def _chosen(rows: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of all rows are wanted, and where each is among those."""
    wanted = np.zeros(total, bool)
    wanted[rows] = True
    return wanted, (np.cumsum(wanted) - 1)[rows]


def _only(serialized: tf.data.Dataset, wanted: np.ndarray) -> tf.data.Dataset:
    """Leave out the examples that are not wanted."""
    starts = tf.data.Dataset.range(0, len(wanted), _LOOKED_AT)

    def chosen(start: tf.Tensor, some: tf.Tensor) -> tf.Tensor:
        return tf.boolean_mask(some, tf.constant(wanted)[start : start + _LOOKED_AT])

    parts = tf.data.Dataset.zip((starts, serialized.batch(_LOOKED_AT)))
    return parts.map(chosen).unbatch()


def _together(parts: tf.data.Dataset, size: int, count: int) -> tf.data.Dataset:
    """Yield the examples of all parts at once, with zeros behind the last.

    Args:
        parts: Parts of `size` examples; the last has the rest.
        size: The examples of a part.
        count: The examples in all; if one is missing, an error or nothing comes.
    """

    def filled(start: tf.Tensor, examples: tuple) -> tuple[tf.Tensor, ...]:
        short = tf.maximum(start + size - count, 0)
        return tuple(
            tf.ensure_shape(
                tf.pad(each, [[0, short]] + [[0, 0]] * (each.shape.rank - 1)),
                [size, *each.shape[1:]],
            )
            for each in examples
        )

    def joined(*examples: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(tf.reshape(each, [-1, *each.shape[2:]]) for each in examples)

    starts = tf.data.Dataset.range(0, count, size)
    same = tf.data.Dataset.zip((starts, parts)).map(filled)
    return same.batch(-(-count // size), drop_remainder=True).map(joined)


def _cores() -> int:
    return os.cpu_count() or 1
