"""The column of labels of Parquet files."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from pyarrow import types

from sam_pod import errors
from sam_pod.data.sources import archives, label_values, labels, parquet_columns

_ROWS = 1 << 16  # In memory at a time.


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
