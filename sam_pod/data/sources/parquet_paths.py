"""Images that a Parquet file names by their paths: where they lie."""

import os

import pyarrow.parquet

from sam_pod import errors

_PATHS = 1 << 14  # In memory at a time.


def num_bytes(
    folder: str, path: str, file: "pyarrow.parquet.ParquetFile", column: str
) -> int:
    """Return the bytes of the images that a column names by their paths.

    Raises:
        UserError: some are not there; how many, and the first.
    """
    total = missing = row = 0
    first = ""
    for batch in file.iter_batches(_PATHS, columns=[column]):
        found = batch.column(column)
        if pyarrow.types.is_struct(found.type):
            found = found.field("path")
        for value in found.to_pylist():
            place = None if value is None else find(folder, path, value)
            if place is None and value is not None:
                missing += 1
                where = f"{os.path.relpath(path, folder)} row {row}"
                first = first or lacking(folder, column, where, value)
            total += os.path.getsize(place) if place else 0
            row += 1
    if missing:
        count = f"{missing:,} of {row:,} images of {path} are not there: "
        raise errors.UserError(f"{count if missing > 1 else ''}{first}")
    return total


def find(folder: str, file: str, path: str) -> str | None:
    """Return where the image of a path lies, None if nowhere.

    It is looked for as it stands, and relative to the folder of the Parquet file and
    to those above, up to that of the source.
    """
    parent = os.path.dirname(file)
    while True:
        found = os.path.join(parent, path)
        if os.path.isfile(found):
            return found
        if os.path.isabs(path) or len(parent) <= len(folder):
            return None
        parent = os.path.dirname(parent)


def lacking(folder: str, column: str, where: str, path: str) -> str:
    """Return the line for a path at which there is no image."""
    if "://" in path:
        return (
            f"{where} in {folder} has no {column!r}, but the address {path[-200:]!r}: "
            "download the images first, or take the version of the set that holds them."
        )
    return (
        f"{where} in {folder} has no {column!r} in itself, but the path "
        f"{path[-200:]!r}, and there is no such file beside it or in {folder}: put "
        "the images there, or take the version of the set that holds them."
    )
