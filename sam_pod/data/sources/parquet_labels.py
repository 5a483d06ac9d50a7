"""The column of labels of Parquet files."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from pyarrow import types

from sam_pod import errors
from sam_pod.data.sources import archives, label_values, labels, parquet_columns
from sam_pod.data.stored import label_names

_ROWS = 1 << 16  # In memory at a time.
_LOOK = 256  # Rows that show what a column holds,
_LOOK_BYTES = 1 << 22  # or less of them.


def found(paths: Sequence[str], column: str) -> label_values.Found | None:
    """Return the labels of some files; None where no file has the column.

    Raises:
        UserError: one file has it and another does not, or one cannot be read.
    """
    there, lacking = label_values.Found(), []
    for path in paths:
        with opened(path) as file:
            if column not in file.schema_arrow.names:
                lacking.append(path)
                continue
            for batch in _batches(file, path, column):
                there.nulls(batch.null_count)
                there.add(values(batch))
    if len(lacking) == len(paths):
        return None
    if lacking:
        raise errors.UserError(
            f"{lacking[0]} has no column {column!r}, which other files beside it have."
        )
    return there


def hold_labels(path: str, columns: Sequence[str]) -> list[str]:
    """Return which columns of a file hold labels, as far as its first rows show.

    Args:
        path: The file's path.
        columns: The names of some of its columns.

    Raises:
        UserError: the file cannot be read.
    """
    there = []
    with opened(path) as file, archives.readable(path, pyarrow.ArrowException):
        for column in columns:
            count = _looked_at(file.metadata, column)
            batch = next(file.iter_batches(count, columns=[column]), None)
            if batch is not None and _may_be_labels(values(batch.column(column))):
                there.append(column)
    return there


def _looked_at(meta: "pyarrow.parquet.FileMetaData", column: str) -> int:
    """Return how many rows of a column are looked at: fewer where each is large."""
    if not meta.num_row_groups:
        return 1
    group = meta.row_group(0)
    size = sum(
        chunk.total_uncompressed_size
        for chunk in map(group.column, range(group.num_columns))
        if f"{chunk.path_in_schema}.".startswith(f"{column}.")
    )
    return max(1, min(_LOOK, _LOOK_BYTES * group.num_rows // max(1, size)))


def _may_be_labels(some: np.ndarray) -> bool:
    contents = some[:0] if some.dtype != object else some
    if any(isinstance(c, bytes) and not label_names.is_text(c) for c in contents):
        return False
    found = label_values.Found()
    found.add(some)
    return found.may_be_labels


def _batches(
    file: "pyarrow.parquet.ParquetFile", path: str, column: str
) -> Iterator["pyarrow.Array"]:
    with archives.readable(path, pyarrow.ArrowException):
        for batch in file.iter_batches(_ROWS, columns=[column]):
            yield batch.column(column)


def classes_of(paths: Sequence[str], column: str, classes: labels.Classes) -> list[int]:
    """Return the class of each row of some files."""
    found: list[int] = []
    for path in paths:
        with opened(path) as file:
            for batch in _batches(file, path, column):
                found += classes.of(values(batch))
    return found


def values(column: "pyarrow.Array") -> np.ndarray:
    """Return the labels of a column without its nulls, for `label_values`."""
    column = column.drop_null()
    kind = column.type
    if types.is_dictionary(kind):
        return values(column.dictionary_decode())
    if parquet_columns.is_list(kind):
        lengths = set(pyarrow.compute.list_value_length(column).to_pylist())
        if lengths == {1}:
            flat = column.flatten()
            return values(flat) if not flat.null_count else _objects(flat.to_pylist())
        if len(lengths) == 1 and parquet_columns.depth(kind) == 1:
            flat = column.flatten().to_numpy(zero_copy_only=False)
            return flat.reshape(len(column), -1)
        return _objects(column.to_pylist())
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return column.to_numpy(zero_copy_only=False)
    if types.is_decimal(kind):
        return column.cast(pyarrow.float64()).to_numpy()
    return _objects(column.to_pylist())


def _objects(some: Sequence) -> np.ndarray:
    array = np.empty(len(some), object)
    array[:] = some
    return array


def opened(path: str) -> "pyarrow.parquet.ParquetFile":
    """Open a file.

    Raises:
        UserError: it cannot be read.
    """
    with archives.readable(path, pyarrow.ArrowException):
        return pyarrow.parquet.ParquetFile(path, memory_map=True)
