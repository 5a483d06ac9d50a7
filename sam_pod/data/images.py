"""Images in a folder or a tar, `train/<class>/*` and `test/<class>/*`.

The examples are sorted by class and file name, and the digest is of paths and contents,
so that a folder and a tar of the same images are the same source.
"""

import functools
import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data import archives, records

# Images that are decoded together, in parallel, and in memory at a time.
_CHUNK = 64

# By the path below the source: what reads the file, or None for a folder.
_Entries = Mapping[str, Callable[[], bytes] | None]

_LAYOUT = "the images must lie at train/<class>/<file> and test/<class>/<file>"


def read(path: str) -> records.Source:
    """Return the source in the folder or tar (.tar, .tar.gz) at `path`.

    Raises:
        UserError: no images there, or not in the layout.
    """
    if os.path.isdir(path):
        entries = _list_folder(path)
    elif os.path.exists(path):
        entries = _list_tar(path)
    else:
        raise errors.UserError(
            f"No source at {path!r}; pass a folder or a tar of images."
        )
    entries = _without_leading_folder(_without_hidden(entries))
    train = _list_split(path, entries, "train")
    test = _list_split(path, entries, "test")
    labels = {name: label for label, name in enumerate(sorted(train))}
    for name in sorted(test.keys() - train.keys()):
        raise errors.UserError(
            f"{path} has the class {name!r} in test, but not in train; every class "
            "must have images to train on."
        )
    splits, checksum = {}, hashlib.sha256()
    for split, by_class in (("train", train), ("test", test)):
        files = [
            (f"{split}/{name}/{file}", labels[name])
            for name in sorted(by_class)
            for file in sorted(by_class[name])
        ]
        for file, _ in files:
            content = hashlib.sha256(_read(path, file, entries)).hexdigest()
            checksum.update(os.fsencode(f"{file}\0{content}\n"))
        splits[split] = _split(path, files, entries)
    return records.Source(
        "images", tuple(labels), "images", checksum.hexdigest(), splits
    )


def _list_folder(root: str) -> _Entries:
    def fail(error: OSError) -> None:
        raise archives.unreadable(error.filename or root, error) from error

    entries: dict[str, Callable[[], bytes] | None] = {}
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        below = os.path.relpath(folder, root)
        for name in folders:
            entries[os.path.normpath(os.path.join(below, name))] = None
        for name in files:
            path = os.path.join(folder, name)
            entries[os.path.normpath(os.path.join(below, name))] = functools.partial(
                _read_file, path
            )
    return entries


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class _RandomAccess:
    """A file that is read in any order and closed with its last reader."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __del__(self) -> None:
        self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)


def _list_tar(path: str) -> _Entries:
    entries: dict[str, Callable[[], bytes] | None] = {}
    try:
        file = _open_tar(path)
        content = _RandomAccess(file)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                name = archives.member_path(path, member)
                entries[name] = (
                    functools.partial(content.read, member.offset_data, member.size)
                    if member.isfile()
                    else None
                )
            # tarfile takes a broken header for the end; the end is a block of zeros.
            if content.read(tar.offset, tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError(f"a broken header at byte {tar.offset}")
            if not content.read(tar.offset, 1):
                raise tarfile.ReadError(f"it is cut short at byte {tar.offset}")
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise archives.unreadable(path, error) from error
    return entries


def _open_tar(path: str) -> BinaryIO:
    file = open(path, "rb")  # noqa: SIM115 (it outlives this function)
    if file.read(2) != b"\x1f\x8b":
        file.seek(0)
        return file
    # Sorting by name needs random access, which gzip does not have. The temporary
    # file has no name: it goes with the process, however that ends.
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115
    with file, gzip.open(path, "rb") as packed:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    unpacked.seek(0)
    return unpacked


def _without_hidden(entries: _Entries) -> _Entries:
    return {
        path: read
        for path, read in entries.items()
        if not any(part.startswith(".") for part in path.split("/"))
    }


def _without_leading_folder(entries: _Entries) -> _Entries:
    tops = {path.partition("/")[0] for path in entries}
    while len(tops) == 1 and not tops & set(records.SPLITS):
        below = ((path.partition("/")[2], read) for path, read in entries.items())
        entries = {path: read for path, read in below if path}
        tops = {path.partition("/")[0] for path in entries}
    return entries


def _list_split(source: str, entries: _Entries, split: str) -> dict[str, list[str]]:
    """Return the files of each class."""
    by_class: dict[str, list[str]] = {}
    for path, read in entries.items():
        top, *parts = path.split("/")
        if top != split or not parts:
            continue
        if len(parts) == 1 and read is None:
            by_class.setdefault(parts[0], [])
        elif len(parts) == 2 and read is not None:
            by_class.setdefault(parts[0], []).append(parts[1])
        else:
            raise errors.UserError(f"{path} in {source} is out of place; {_LAYOUT}.")
    if not by_class:
        raise errors.UserError(f"{source} has no images of {split}; {_LAYOUT}.")
    for name in sorted(by_class):
        if not by_class[name]:
            raise errors.UserError(
                f"The class folder {split}/{name} in {source} is empty; add images or "
                "delete the folder."
            )
    return by_class


def _read(source: str, file: str, entries: _Entries) -> bytes:
    try:
        return entries[file]()
    except OSError as error:
        raise archives.unreadable(f"{file} in {source}", error) from error


def _split(
    source: str, files: Sequence[tuple[str, int]], entries: _Entries
) -> records.Split:
    def examples() -> Iterator[tuple[np.ndarray, int]]:
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            contents = [_read(source, file, entries) for file, _ in chunk]
            images = _decoded(contents)
            for file, label in chunk:
                try:
                    image = next(images)
                except tf.errors.InvalidArgumentError as error:
                    raise errors.UserError(
                        f"{file} in {source} is no JPEG, PNG, BMP or GIF image that "
                        "can be decoded; replace it or delete it."
                    ) from error
                yield image, label

    return records.Split(len(files), examples, lambda i: f"{files[i][0]} in {source}")


def _decoded(contents: list[bytes]) -> Iterator[np.ndarray]:
    """Yield the uint8 images `[H, W, 3]` in order; raise when at the bad one."""
    try:
        yield from _decode_all(tf.constant(contents)).numpy()
    except tf.errors.OpError:
        # One that is bad or of another size fails them all: which is it?
        for content in contents:
            yield _decode(tf.constant(content)).numpy()


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _decode_all(contents: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(
        _decode,
        contents,
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
        parallel_iterations=_CHUNK,
    )


def _decode(content: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        tf.io.is_jpeg(content),
        # The default method may give other pixels on another processor.
        lambda: tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, 3, expand_animations=False),
    )
