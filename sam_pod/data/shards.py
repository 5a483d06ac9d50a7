"""Write a source as shards and a manifest, all of them or nothing.

Everything is written to `DIR.partial`, the manifest last, and then renamed to DIR in
one step, so that a folder with a manifest is always whole. The same source gives the
same bytes of every file.
"""

import math
import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from sam_pod import errors, files, new_folder
from sam_pod.data import framing, offsets, records
from sam_pod.data import manifest as manifest_lib


def write(
    source: records.Source,
    output: str,
    num_shards: int = 8,
    progress: Callable[[], object] = lambda: None,
) -> manifest_lib.Manifest:
    """Write all splits of a source to the folder `output`.

    Args:
        source: Where the examples come from.
        output: A folder that is empty or does not exist.
        num_shards: Files per split, at most one for each example.
        progress: Called after each example.

    Raises:
        UserError: `output` cannot be written, or an example does not fit the source.
    """
    new_folder.check(output)
    if num_shards < 1:
        raise errors.UserError(f"`num_shards` is {num_shards}; it must be 1 or above.")
    with new_folder.write(output) as partial:
        return _write_files(source, partial, num_shards, progress)


def _write_files(
    source: records.Source,
    folder: str,
    num_shards: int,
    progress: Callable[[], object],
) -> manifest_lib.Manifest:
    examples = _Examples(source, progress)
    splits = {}
    for split in records.SPLITS:
        size = source.splits[split].num_examples
        count = min(num_shards, size)
        ends = [size * (i + 1) // count for i in range(count)]
        stream = examples.of(split)
        splits[split] = tuple(
            _write_shard(
                os.path.join(folder, f"{split}-{i:05d}-of-{count:05d}.tfrecord"),
                stream,
                end - start,
            )
            for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False))
        )
        for _ in stream:
            raise RuntimeError(f"{split} gave more than {size} examples.")
    mean, std = examples.statistics.mean_and_std()
    manifest = manifest_lib.Manifest(
        name=source.name,
        classes=source.classes,
        image_shape=examples.image_shape,
        mean=mean,
        std=std,
        source={"kind": source.kind, "sha256": source.sha256},
        splits=splits,
    )
    path = os.path.join(folder, manifest_lib.FILE_NAME)
    with open(path, "w", encoding="utf-8") as file:
        file.write(manifest.to_json())
    return manifest


def _write_shard(
    path: str, stream: Iterator[bytes], num_examples: int
) -> manifest_lib.Shard:
    num_bytes = 0
    with tf.io.TFRecordWriter(path) as writer:
        for _ in range(num_examples):
            record = next(stream)
            num_bytes += len(record) + framing.FRAME_BYTES
            writer.write(record)
    files.sync(path)
    # The checksum is of what can be read back, not of what was meant.
    scan = framing.scan(path)
    if scan.num_bytes != num_bytes:
        raise OSError(0, f"{scan.num_bytes} of {num_bytes} bytes arrived")
    index_crc32 = offsets.write(offsets.file_name(path), scan.starts, num_bytes)
    return manifest_lib.Shard(
        os.path.basename(path), num_examples, num_bytes, scan.crc32, index_crc32
    )


class _Examples:
    """Serializes examples, checks them and sums up the training pixels."""

    def __init__(self, source: records.Source, progress: Callable[[], object]) -> None:
        self.image_shape = ()
        self.statistics = _Statistics()
        self._source = source
        self._progress = progress

    def of(self, split: str) -> Iterator[bytes]:
        """Yield the serialized examples of a split."""
        part = self._source.splits[split]
        count = 0
        for index, (image, label) in enumerate(part.examples()):
            count += 1
            if not self.image_shape:
                self.image_shape = image.shape
            if image.shape != self.image_shape or image.dtype != np.uint8:
                raise errors.UserError(
                    f"{part.describe(index)} of the {split} split is {image.dtype} "
                    f"{_by(image.shape)}; every image must be uint8 "
                    f"{_by(self.image_shape)}, as the first."
                )
            if not 0 <= label < len(self._source.classes):
                raise errors.UserError(
                    f"{part.describe(index)} of the {split} split has label {label}; "
                    f"with {len(self._source.classes)} classes it must be from 0 to "
                    f"{len(self._source.classes) - 1}."
                )
            if split == "train":
                self.statistics.add(image)
            yield records.encode(image, label)
            self._progress()
        if count != part.num_examples:
            raise RuntimeError(f"{split} gave {count} of {part.num_examples} examples.")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


class _Statistics:
    """Exact mean and deviation per channel, from integer sums of bytes."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: np.ndarray | int = 0
        self._squares: np.ndarray | int = 0

    def add(self, image: np.ndarray) -> None:
        pixels = image.reshape(-1, image.shape[-1]).astype(np.int64)
        self._count += len(pixels)
        self._sum = self._sum + pixels.sum(axis=0)
        self._squares = self._squares + np.einsum("pc,pc->c", pixels, pixels)

    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return both for pixels in [0, 1]."""
        count = self._count
        # Python's integers do not overflow where the squares are multiplied.
        sums = [(int(s), int(q)) for s, q in zip(self._sum, self._squares, strict=True)]
        return (
            tuple(s / (255 * count) for s, _ in sums),
            tuple(math.sqrt(count * q - s * s) / (255 * count) for s, q in sums),
        )
