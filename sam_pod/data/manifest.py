"""The manifest of a prepared data set, and the check that the files keep it.

A prepared data set is a folder of TFRecord shards with `manifest.json` beside them.
Folders are read through TensorFlow's file systems, so that a bucket serves as well.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from sam_pod import errors, files, interrupts
from sam_pod.data import framing, records, schema

FILE_NAME = "manifest.json"

_BATCH = 2048


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file."""

    file: str
    num_examples: int
    num_bytes: int
    crc32: int  # zlib.crc32 of the whole file.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a prepared data set holds."""

    schema_version: int = schema.VERSION
    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # (H, W, C)
    mean: tuple[float, ...]  # Per channel of the train split, pixels in [0, 1].
    std: tuple[float, ...]
    source: Mapping[str, str]  # 'kind' and 'sha256'.
    splits: Mapping[str, tuple[Shard, ...]]

    def num_examples(self, split: str) -> int:
        """Return the number of examples in a split."""
        return sum(shard.num_examples for shard in self.splits[split])

    def digest(self) -> str:
        """Return the SHA-256 of the manifest, and by its checksums of the data."""
        text = json.dumps(
            dataclasses.asdict(self), sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the text of the manifest's file."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"


def read(directory: str) -> Manifest:
    """Return the manifest of a prepared data set.

    Raises:
        UserError: no folder, no manifest in it, or one that breaks the schema.
    """
    directory = os.fspath(directory)
    path = os.path.join(directory, FILE_NAME)
    prepare = (
        f"prepare one with `{schema.PREPARE} --output={directory}` (--help says how)"
    )
    files.check_scheme(directory, "`data.dir`")
    with _readable(path):
        if not tf.io.gfile.exists(directory):
            raise errors.UserError(f"No data set at {directory!r}: {prepare}.")
        if not tf.io.gfile.exists(path):
            raise errors.UserError(
                f"{directory!r} is no prepared data set, it has no {FILE_NAME}: "
                f"{prepare}."
            )
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:  # Not UTF-8, not JSON, too deep.
        raise errors.UserError(
            f"{path} is not JSON ({error}). {schema.AGAIN}"
        ) from error
    return _from_data(data, path)


def _from_data(data: Any, path: str) -> Manifest:
    keys = schema.check(data, path)
    return Manifest(
        name=keys["name"],
        classes=tuple(keys["classes"]),
        image_shape=tuple(keys["image_shape"]),
        mean=tuple(map(float, keys["mean"])),
        std=tuple(map(float, keys["std"])),
        source=keys["source"],
        splits={
            split: tuple(Shard(**shard) for shard in keys["splits"][split])
            for split in records.SPLITS
        },
    )


def verify(directory: str, manifest: Manifest) -> None:
    """Read every byte and every example of a data set, once.

    Raises:
        UserError: a shard is missing, truncated, corrupt or another one than the
            manifest describes, or its examples do not fit the manifest.
    """
    directory = os.fspath(directory)
    for split in records.SPLITS:
        for shard in manifest.splits[split]:
            path = os.path.join(directory, shard.file)
            with _readable(path):
                if not tf.io.gfile.exists(path):
                    raise errors.UserError(
                        f"{path} is missing, which {FILE_NAME} names: copy it from "
                        f"where the data set came from. Or: {schema.AGAIN}"
                    )
                examples = _Examples(path, manifest)
                scan = framing.scan(path, examples.visit)
            _check_bytes(path, shard, scan, examples.corrupt)
            if examples.misfit:
                raise errors.UserError(examples.misfit)


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        if interrupts.is_lost_worker(error):
            raise
        raise errors.UserError(errors.remote(path, error, "objectViewer")) from error


class _Examples:
    """Looks at the records of a shard as they come, and keeps the first fault."""

    def __init__(self, path: str, manifest: Manifest) -> None:
        self.corrupt: int | None = None  # Byte offset of a record.
        self.misfit = ""  # What is wrong with an example.
        self._path = path
        self._manifest = manifest
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
        fault = _first_misfit(serialized, self._manifest)
        if fault:
            index, reason = fault
            self.misfit = (
                f"Example {first + index} of {self._path}, at byte {starts[index]}, "
                f"{reason}. {schema.AGAIN}"
            )


def _check_bytes(
    path: str, shard: Shard, scan: framing.Scan, corrupt: int | None
) -> None:
    """Refuse a file that is not what was prepared."""
    fault, offset = scan.fault, scan.offset
    same = (scan.num_bytes, scan.crc32) == (shard.num_bytes, shard.crc32)
    if corrupt is not None and same:
        raise errors.UserError(
            f"{path} is corrupt at byte {corrupt}, though its CRC-32 is the one in "
            f"{FILE_NAME}. {schema.AGAIN}"
        )
    if corrupt is not None:
        fault, offset = "corrupt", corrupt
    elif not same and not fault and scan.num_bytes < shard.num_bytes:
        fault = "truncated"
    if fault:
        raise errors.UserError(
            f"{path} is {fault} at byte {offset}: it has {scan.num_bytes} bytes with "
            f"CRC-32 {scan.crc32:08x}, {FILE_NAME} says {shard.num_bytes} with "
            f"{shard.crc32:08x}. {schema.AGAIN}"
        )
    if not same:
        raise errors.UserError(
            f"{path} is another file than the one prepared: its records are whole, but "
            f"it has {scan.num_bytes} bytes with CRC-32 {scan.crc32:08x}, {FILE_NAME} "
            f"says {shard.num_bytes} with {shard.crc32:08x}. {schema.AGAIN}"
        )
    if len(scan.starts) != shard.num_examples:
        raise errors.UserError(
            f"{path} holds {len(scan.starts)} examples, {FILE_NAME} says "
            f"{shard.num_examples}. {schema.AGAIN}"
        )


def _first_misfit(serialized: tf.Tensor, manifest: Manifest) -> tuple[int, str] | None:
    """Return which example of a batch does not fit and why."""
    try:
        features = tf.io.parse_example(serialized, records.FEATURES)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
        # The second comes of a message of TensorFlow's that quotes the bytes.
        if len(serialized) > 1:  # The error names no example: ask one by one.
            for index in range(len(serialized)):
                if fault := _first_misfit(serialized[index : index + 1], manifest):
                    return index, fault[1]
        return 0, "is no tf.train.Example with 'image' (bytes) and 'label' (one int64)"
    num_bytes = math.prod(manifest.image_shape)
    lengths = tf.strings.length(features["image"]).numpy()
    labels = features["label"].numpy()
    bad_length = lengths != num_bytes
    bad_label = (labels < 0) | (labels >= len(manifest.classes))
    bad = np.flatnonzero(bad_length | bad_label)
    if not bad.size:
        return None
    index = int(bad[0])
    if bad_length[index]:
        height, width, channels = manifest.image_shape
        return index, (
            f"has an image of {lengths[index]} bytes; `image_shape` is "
            f"{height}x{width}x{channels}, {num_bytes} bytes"
        )
    return index, (
        f"has label {labels[index]}; with {len(manifest.classes)} classes it must be "
        f"from 0 to {len(manifest.classes) - 1}"
    )
