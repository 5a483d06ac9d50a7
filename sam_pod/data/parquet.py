"""Parquet files as the Hugging Face hub has them.

An image column of {bytes, path} and a column of whole numbers; the names of the classes
are in the metadata of the file. Which split a file is of says its name
(train-00000-of-00002.parquet) or its folder (train/0000.parquet).
"""

import dataclasses
import functools
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sam_pod import errors
from sam_pod.data import archives, extras, images, records

if TYPE_CHECKING:
    import pyarrow.parquet

LOCK = "parquet.lock"

_BATCH = 64  # Rows in memory at a time.


@dataclasses.dataclass(frozen=True)
class _File:
    path: str
    num_rows: int
    num_bytes: int  # Of the images, unpacked.


@dataclasses.dataclass(frozen=True)
class _Columns:
    image: str
    label: str


def read(folder: str, image: str = "image", label: str = "label") -> records.Source:
    """Return the source in a folder of Parquet files.

    Args:
        folder: Files in folders below it count as well.
        image: Name of the column of images.
        label: Name of the column of labels.

    Raises:
        UserError: no pyarrow, no such files, or columns that are not as they must be.
    """
    parquet = extras.load("pyarrow.parquet", LOCK)
    paths = _find(folder)
    columns = _Columns(image, label)
    files = {
        split: [_open(parquet, path, columns) for path in found]
        for split, found in paths.items()
    }
    first = paths["train"][0]
    names = _class_names(parquet, first, label)
    return records.Source(
        name="parquet",
        classes=names or _numbered(parquet, paths, columns),
        kind="parquet",
        place=folder,
        fingerprint=archives.fingerprint(itertools.chain(*paths.values())),
        splits={
            split: records.Split(
                sum(file.num_rows for file in found),
                sum(file.num_bytes for file in found),
                functools.partial(_read, folder, found, columns),
            )
            for split, found in files.items()
        },
    )


def _find(folder: str) -> dict[str, list[str]]:
    """Return the paths of the files of each split."""
    if not os.path.isdir(folder):
        raise errors.UserError(
            f"`source` is {folder!r}; for parquet it must be a folder of files such as "
            "train-00000-of-00001.parquet and test-00000-of-00001.parquet."
        )
    paths = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.endswith(".parquet") and not name.startswith(".")
    )
    found = {}
    for split in records.SPLITS:
        for word in images.FOLDERS[split]:
            found[split] = [path for path in paths if _is_of(path, word)]
            if found[split]:
                break
        else:
            raise errors.UserError(
                f"{folder} has no Parquet file of {split}; there must be one such as "
                f"{split}-00000-of-00001.parquet."
            )
    return found


def _is_of(path: str, split: str) -> bool:
    folder, name = os.path.split(path)
    in_name = re.match(rf"{split}([-_.]|$)", name) is not None
    named = any(
        re.match(rf"{word}([-_.]|$)", name)
        for words in images.FOLDERS.values()
        for word in words
    )
    return in_name or (not named and os.path.basename(folder) == split)


def _open(parquet: "pyarrow.parquet", path: str, columns: _Columns) -> _File:
    import pyarrow

    try:
        with parquet.ParquetFile(path) as file:
            schema, meta = file.schema_arrow, file.metadata
    except (OSError, pyarrow.ArrowException) as error:
        raise archives.unreadable(path, _one_line(error)) from error
    for name in dataclasses.astuple(columns):
        if name not in schema.names:
            raise errors.UserError(
                f"{path} has no column {name!r}; it has {', '.join(schema.names)}. "
                "Pass --image_column and --label_column."
            )
    kind = schema.field(columns.image).type
    is_image = pyarrow.types.is_struct(kind) and any(
        field.name == "bytes"
        and (
            pyarrow.types.is_binary(field.type)
            or pyarrow.types.is_large_binary(field.type)
        )
        for field in kind
    )
    if not is_image:
        raise errors.UserError(
            f"Column {columns.image!r} of {path} is {kind}; it must be a struct with "
            "the encoded image in 'bytes'."
        )
    kind = schema.field(columns.label).type
    if not pyarrow.types.is_integer(kind):
        raise errors.UserError(
            f"Column {columns.label!r} of {path} is {kind}; it must be whole numbers."
        )
    wanted = f"{columns.image}.bytes"
    num_bytes = sum(
        group.column(column).total_uncompressed_size
        for group in map(meta.row_group, range(meta.num_row_groups))
        for column in range(group.num_columns)
        if group.column(column).path_in_schema == wanted
    )
    return _File(path, meta.num_rows, num_bytes)


def _one_line(error: Exception) -> OSError:
    return OSError(" ".join(str(error).split())[:200])


def _class_names(parquet: "pyarrow.parquet", path: str, label: str) -> tuple[str, ...]:
    """Return what the metadata call the classes, nothing if they do not say."""
    metadata = parquet.read_schema(path).metadata or {}
    try:
        info = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(map(str, info[label]["names"]))
    except (KeyError, ValueError, TypeError):
        return ()


def _numbered(
    parquet: "pyarrow.parquet", paths: dict[str, list[str]], columns: _Columns
) -> tuple[str, ...]:
    highest = 0
    for path in itertools.chain(*paths.values()):
        labels = parquet.read_table(path, columns=[columns.label])[columns.label]
        if labels.null_count < len(labels):
            highest = max(highest, int(np.max(labels.drop_null().to_numpy())))
    return tuple(map(str, range(highest + 1)))


def _read(
    folder: str, files: Sequence[_File], columns: _Columns, start: int, stop: int
) -> "_Rows":
    return _Rows(folder, tuple(files), columns, start, stop)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows [start, stop) of some files one after the other."""

    folder: str
    files: tuple[_File, ...]
    columns: _Columns
    start: int
    stop: int

    def __iter__(self) -> Iterator[records.Item]:
        first = 0  # Row of the split at which the file starts.
        for file in self.files:
            start = max(self.start - first, 0)
            stop = min(self.stop - first, file.num_rows)
            if start < stop:
                yield from self._of_file(file.path, start, stop)
            first += file.num_rows

    def _of_file(self, path: str, start: int, stop: int) -> Iterator[records.Item]:
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
                groups, skipped = _groups(file.metadata, start, stop)
                row = start - skipped
                for batch in file.iter_batches(
                    _BATCH,
                    groups,
                    [f"{self.columns.image}.bytes", self.columns.label],
                    use_threads=False,
                ):
                    for image, label in self._of_batch(batch):
                        if start <= row < stop:
                            yield self._item(path, row, image, label)
                        row += 1
                    if row >= stop:
                        return
        except (OSError, pyarrow.ArrowException) as error:
            raise archives.unreadable(path, _one_line(error)) from error

    def _of_batch(
        self, batch: "pyarrow.RecordBatch"
    ) -> Iterator[tuple[bytes | None, int | None]]:
        structs = batch.column(self.columns.image)
        contents = structs.field("bytes").to_pylist()
        is_there = structs.is_valid().to_pylist()
        labels = batch.column(self.columns.label).to_pylist()
        for content, valid, label in zip(contents, is_there, labels, strict=True):
            yield content if valid else None, label

    def _item(
        self, path: str, row: int, image: bytes | None, label: int | None
    ) -> records.Item:
        key = f"{os.path.relpath(path, self.folder)} row {row}"
        for name, value in ((self.columns.image, image), (self.columns.label, label)):
            if value is None:
                raise errors.UserError(
                    f"{key} in {self.folder} has no {name!r}, it is null; every row "
                    "must have an image and a label."
                )
        return records.Item(image, label, key)


def _groups(
    meta: "pyarrow.parquet.FileMetaData", start: int, stop: int
) -> tuple[list[int], int]:
    """Return which row groups hold rows [start, stop), and how many rows before."""
    groups, first, skipped = [], 0, 0
    for index in range(meta.num_row_groups):
        size = meta.row_group(index).num_rows
        if first < stop and first + size > start:
            if not groups:
                skipped = start - first
            groups.append(index)
        first += size
    return groups, skipped
