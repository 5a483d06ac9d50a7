"""Rows of Parquet files as examples, from any row on."""

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from sam_pod import errors
from sam_pod.data.sources import (
    archives,
    labels,
    parquet_columns,
    parquet_labels,
    parquet_paths,
)
from sam_pod.data.stored import raw_pixels, records

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH = 64  # Rows in memory at a time.


@dataclasses.dataclass(frozen=True)
class File:
    """A file whose columns were looked at."""

    path: str
    num_rows: int
    num_bytes: int  # The images' bytes, unpacked; 0 for images in files of their own.
    kind: str  # As returned by `parquet_columns.image_kind`.
    leaves: tuple[str, ...]  # The parts of the image column that are read.


def look(folder: str, path: str, columns: parquet_columns.Columns) -> File:
    """Return a file whose columns are as they must be.

    Args:
        folder: The source's folder.
        path: The file's path.
        columns: The columns that are read.

    Raises:
        UserError: they are not, or images that lie elsewhere are not there.
    """
    with (
        archives.readable(path, pyarrow.ArrowException),
        parquet_labels.opened(path) as file,
    ):
        schema, meta = file.schema_arrow, file.metadata
        for name in columns.names:
            if name not in schema.names:
                raise errors.UserError(
                    f"{path} has no column {name!r}; it has {', '.join(schema.names)}. "
                    "Pass --image_column and --label_column."
                )
        kind = schema.field(columns.image).type
        how = parquet_columns.image_kind(kind)
        if not how:
            raise errors.UserError(
                f"Column {columns.image!r} of {path} is {kind}; it must hold encoded "
                "images (binary, or a struct with 'bytes'), paths (text), or pixels."
            )
        leaves = (columns.image,)
        if how == "struct":
            there = [kind.field(i).name for i in range(kind.num_fields)]
            leaves = tuple(
                f"{columns.image}.{name}" for name in ("bytes", "path") if name in there
            )
        num_bytes = 0 if how == "path" else _num_bytes(meta, columns.image)
        if how == "path" or (how == "struct" and not num_bytes):
            num_bytes = parquet_paths.num_bytes(folder, path, file, columns.image)
    return File(path, meta.num_rows, num_bytes, how, leaves)


def _num_bytes(meta: "pyarrow.parquet.FileMetaData", column: str) -> int:
    """Return how many bytes of images there are; 0 where all are null."""
    total = 0
    for group in map(meta.row_group, range(meta.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            path = chunk.path_in_schema
            is_of = path == f"{column}.bytes" or path.split(".")[0] == column
            if not is_of or path == f"{column}.path":
                continue
            found = chunk.statistics
            nulls = found.null_count if found and found.has_null_count else 0
            if nulls < chunk.num_values or not chunk.num_values:
                total += chunk.total_uncompressed_size
    return total


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows [start, stop) of some files one after the other."""

    folder: str
    files: tuple[File, ...]
    columns: parquet_columns.Columns
    classes: labels.Classes
    start: int
    stop: int

    def __iter__(self) -> Iterator[records.Item]:
        first = 0  # Row of the split at which the file starts.
        for file in self.files:
            start = max(self.start - first, 0)
            stop = min(self.stop - first, file.num_rows)
            if start < stop:
                yield from self._of_file(file, start, stop)
            first += file.num_rows

    def _of_file(self, file: File, start: int, stop: int) -> Iterator[records.Item]:
        with (
            archives.readable(file.path, pyarrow.ArrowException),
            pyarrow.parquet.ParquetFile(file.path, memory_map=True) as opened,
        ):
            groups, skipped = _groups(opened.metadata, start, stop)
            row = start - skipped
            wanted = [*file.leaves, self.columns.label]
            for batch in opened.iter_batches(_BATCH, groups, wanted, use_threads=False):
                first, last = max(start - row, 0), min(stop - row, len(batch))
                if first < last:
                    part = batch.slice(first, last - first)
                    yield from self._items(file, part, row + first)
                row += len(batch)
                if row >= stop:
                    return

    def _items(
        self, file: File, batch: "pyarrow.RecordBatch", row: int
    ) -> Iterator[records.Item]:
        column = batch.column(self.columns.label)
        numbers = [None] * len(batch)
        if not column.null_count:
            numbers = self.classes.of(parquet_labels.values(column))
        images = _images(batch.column(self.columns.image), file.kind)
        name = os.path.relpath(file.path, self.folder)
        for index, (image, label) in enumerate(zip(images, numbers, strict=True), row):
            key = f"{name} row {index}"
            if label is None:
                raise errors.UserError(
                    f"{key} in {self.folder} has no {self.columns.label!r}, or one "
                    "near it has none; every row must have one."
                )
            if image is None:
                fault = f"has no {self.columns.image!r}, it is null"
                yield records.Item(b"", label, key, fault)
                continue
            if isinstance(image, str):
                image = self._file_of(file, key, image)
            elif not isinstance(image, bytes):
                image = self._pixels(key, image)
            yield records.Item(image, label, key)

    def _file_of(self, file: File, key: str, path: str) -> bytes:
        found = parquet_paths.find(self.folder, file.path, path)
        if found is None:
            raise errors.UserError(
                parquet_paths.lacking(self.folder, self.columns.image, key, path)
            )
        try:
            with open(found, "rb") as opened:
                return opened.read()
        except OSError as error:
            raise archives.unreadable(found, error) from error

    def _pixels(self, key: str, scalar: "pyarrow.ListScalar") -> np.ndarray:
        place = f"{key} in {self.folder}"
        try:
            found = parquet_columns.pixels(scalar)
        except ValueError as error:
            raise errors.UserError(
                f"{place} has no image in {self.columns.image!r}: {error}."
            ) from error
        return raw_pixels.as_image(found, place, self.columns.image)


def _images(column: "pyarrow.Array", kind: str) -> "Sequence[Any]":
    """Return the bytes, the path, a list of pixels, or None for each row."""
    if kind == "pixels":
        if isinstance(column, pyarrow.ExtensionArray):
            column = column.storage
        return [value if value.is_valid else None for value in column]
    if kind != "struct":
        return column.to_pylist()
    found: list[Any] = [None] * len(column)
    for name in ("path", "bytes"):  # The bytes win.
        if column.type.get_field_index(name) >= 0:
            there = column.field(name).to_pylist()
            found = [new or old for new, old in zip(there, found, strict=True)]
    valid = column.is_valid().to_pylist()
    return [one if ok else None for one, ok in zip(found, valid, strict=True)]


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
