"""One shard of a data set: written, checked, and known again if it is there already.

A shard is whole when its record lies in the folder's STATE: what a preparation that
was killed has finished is not done twice.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.pictures import careful, decoding, pixel_sums
from sam_pod.data.prepare import pool, shard_rules, tallies
from sam_pod.data.stored import framing, offsets, records
from sam_pod.storage import files

STATE = ".prepare"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A shard to be written."""

    folder: str
    file: str
    split: str
    first: int  # Index in the source's split of the first example.
    num_examples: int
    items: Iterable[records.Item]
    rules: shard_rules.ShardRules


@dataclasses.dataclass
class Done:
    """A shard that is there."""

    num_examples: int = 0
    num_bytes: int = 0
    crc32: int = 0
    index_crc32: int = 0
    wrong: int = 0  # Labels that noise has changed.
    pixels: pixel_sums.PixelSums = dataclasses.field(
        default_factory=pixel_sums.PixelSums
    )
    tally: tallies.Tally = dataclasses.field(default_factory=tallies.Tally)
    digests: str = ""  # The SHA-256 of each example of the source, in hexadecimal.


def use_one_thread() -> None:
    """Leave the other cores to the other processes."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def write(task: Task, progress: pool.Progress) -> Done:
    """Write a shard and its index, unless they are there already.

    The result has no `digests`: see `read_digests`.

    Raises:
        UserError: an example is not as it must be.
        OSError: something cannot be written.
    """
    done = _finished(task)
    if done is None:
        try:
            done = _write(task, progress)
        except tf.errors.OpError as error:  # It could not be pickled.
            raise OSError(0, error.message) from error
    else:
        progress(task.num_examples)
    return dataclasses.replace(done, digests="")


def read_digests(folder: str, file: str) -> bytes:
    """Return the SHA-256 digests of a finished shard's examples, joined."""
    return bytes.fromhex(_read_state(folder, file)["digests"])


def _read_state(folder: str, file: str) -> dict | None:
    content = files.read_bytes(_state_path(folder, file))
    if content is None:
        return None
    # One that was damaged is made again with its shard.
    checksum, _, text = content.partition(b"\n")
    return json.loads(text) if checksum == b"%d" % zlib.crc32(text) else None


def _state_path(folder: str, file: str) -> str:
    return os.path.join(folder, STATE, f"{file}.json")


def _finished(task: Task) -> Done | None:
    state = _read_state(task.folder, task.file)
    if state is None:
        return None
    done = Done(**state)
    done.pixels = pixel_sums.PixelSums(**state["pixels"])
    done.tally = tallies.Tally(**state["tally"])
    path = os.path.join(task.folder, task.file)
    found = [_crc32(path), _crc32(offsets.file_name(path))]
    return done if found == [done.crc32, done.index_crc32] else None


def _crc32(path: str) -> int | None:
    checksum = 0
    try:
        for block in files.blocks(path):
            checksum = zlib.crc32(block, checksum)
    except FileNotFoundError:
        return None
    return checksum


def _write(task: Task, progress: pool.Progress) -> Done:
    path = os.path.join(task.folder, task.file)
    index = offsets.file_name(path)
    for left in (path, index):
        _remove_other(left)
    done = Done()
    with tf.io.TFRecordWriter(path) as writer:
        for serialized in _Examples(task, done, progress).serialized():
            writer.write(serialized)
            done.num_examples += 1
            done.num_bytes += len(serialized) + framing.FRAME_BYTES
    files.sync(path)
    # The checksum is of what can be read back, not of what was meant.
    scan = framing.scan(path)
    if scan.num_bytes != done.num_bytes:
        raise OSError(0, f"{scan.num_bytes} of {done.num_bytes} bytes arrived")
    done.crc32 = scan.crc32
    done.index_crc32 = offsets.write(index, scan.starts, scan.num_bytes)
    files.sync(index)
    text = json.dumps(dataclasses.asdict(done))
    checksum = zlib.crc32(text.encode())
    files.write(_state_path(task.folder, task.file), f"{checksum}\n{text}")
    return done


def _remove_other(path: str) -> None:
    """Remove anything but a file: writing through a link would change another file."""
    if os.path.islink(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


class _Examples:
    """Checks and serializes the examples of a shard, and sums up what they are."""

    def __init__(self, task: Task, done: Done, progress: pool.Progress) -> None:
        self._task, self._rules, self._done = task, task.rules, done
        self._progress = progress

    def serialized(self) -> Iterator[bytes]:
        index, digests = self._task.first, []
        for chunk in _chunks(self._task.items):
            stored = self._stored(chunk)
            for number, (item, image) in enumerate(zip(chunk, stored, strict=True)):
                digests.append(_digest(item))
                if image is not None:
                    yield self._example(index + number, item, image)
            index += len(chunk)
            self._progress(len(chunk))
        count = index - self._task.first
        if count != self._task.num_examples:
            raise RuntimeError(
                f"{self._task.split} gave {count} of {self._task.num_examples} examples"
            )
        self._done.digests = "".join(digests)

    def _stored(self, chunk: list[records.Item]) -> Iterator[np.ndarray | bytes | None]:
        """Return the stored form of each, and sum up its pixels; None for a bad one."""
        contents = [item.image for item in chunk if isinstance(item.image, bytes)]
        channels = self._rules.decoded_channels
        found = decoding.pictures(contents, channels, self._rules.pictures)
        stored, seen = [], []
        for item in chunk:
            picture = careful.Picture(item.image)
            if isinstance(item.image, bytes):
                picture = next(found)
            if item.fault:
                picture = careful.Picture(None, fault=item.fault)
            self._done.tally.count(item.label, item.key, picture)
            if picture.pixels is None:
                stored.append(None)
                continue
            image, pixels = self._as_stored(item, picture)
            stored.append(image)
            seen.append(pixels)
        if self._task.split == "train":
            self._sum_up(seen)
        return iter(stored)

    def _as_stored(
        self, item: records.Item, picture: careful.Picture
    ) -> tuple[np.ndarray | bytes, np.ndarray]:
        """Return what is stored of an image, and the pixels that training will see."""
        pixels = shard_rules.fitted(item, picture.pixels, self._rules)
        if self._rules.encoding == "raw":
            return pixels, pixels
        if not isinstance(item.image, bytes):
            return tf.io.encode_png(pixels).numpy(), pixels
        if not picture.kind:
            return item.image, pixels
        content, pixels = decoding.storable(item.image, pixels)
        if content is not item.image:
            self._done.tally.count_converted(picture.kind)
        return content, pixels

    def _sum_up(self, images: list[np.ndarray]) -> None:
        if len({image.shape for image in images}) == 1:
            images = [np.concatenate(images)]  # Small images take long one by one.
        for image in images:
            self._done.pixels.add(image)

    def _example(
        self, index: int, item: records.Item, image: np.ndarray | bytes
    ) -> bytes:
        rules, label = self._rules, item.label
        if not 0 <= label < rules.num_classes:
            raise errors.UserError(
                f"{item.key} in {rules.place} has label {label}; with "
                f"{rules.num_classes} classes it must be from 0 to "
                f"{rules.num_classes - 1}."
            )
        if rules.noise is None or self._task.split != "train":
            return records.encode(image, label)
        noisy = rules.noise.flip(index, label, rules.num_classes)
        self._done.wrong += noisy != label
        return records.encode(image, noisy, true_label=label)


def _chunks(items: Iterable[records.Item]) -> Iterator[list[records.Item]]:
    """Group items for one call of the decoder; large ones alone, for the memory."""
    chunk, num_bytes = [], 0
    for item in items:
        chunk.append(item)
        image = item.image
        num_bytes += len(image) if isinstance(image, bytes) else image.nbytes
        if len(chunk) == decoding.CHUNK or num_bytes >= decoding.CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


def _digest(item: records.Item) -> str:
    """Return the SHA-256 of an example, key and label included."""
    checksum = hashlib.sha256(os.fsencode(f"{item.key}\0{item.label}\0"))
    image = item.image
    checksum.update(image if isinstance(image, bytes) else np.ascontiguousarray(image))
    return checksum.hexdigest()
