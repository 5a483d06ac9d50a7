"""The files that a pattern of names means, in a folder and in those below it."""

import fnmatch
import os
from collections.abc import Iterator

from sam_pod import errors
from sam_pod.data.sources import tfrecord_files
from sam_pod.storage import files


def matching(directory: str, pattern: str, key: str) -> list[str]:
    """Return the names of files that fit a pattern, such as 'train/train-*'.

    Args:
        directory: The folder of the files, or one above it.
        pattern: A pattern in which each part between slashes fits a name as in a shell.
        key: The config key that has this value, for an error.

    Raises:
        UserError: none fits, or folders do.
    """
    found = list(_fitting(directory, "", pattern.split("/")))
    folders = (
        []
        if files.is_remote(directory)
        else [name for name in found if os.path.isdir(os.path.join(directory, name))]
    )
    if folders and len(folders) == len(found):
        raise errors.UserError(
            f"{key} is {pattern!r}, which fits the folder {folders[0]}: for the files "
            f"in it set it to '{pattern}/*'."
        )
    found = [name for name in found if name not in folders]
    if not found:
        there = files.names(directory)
        raise errors.UserError(
            f"{key} is {pattern!r}, which fits no file of {directory}; it holds "
            f"{', '.join(there[:3])[:200]} and others. For files in a folder of it "
            f"write 'FOLDER/*'."
        )
    return found


def _fitting(directory: str, folder: str, parts: list[str]) -> Iterator[str]:
    names = files.names(os.path.join(directory, folder) if folder else directory)
    for name in fnmatch.filter(names, parts[0]):
        path = f"{folder}/{name}" if folder else name
        if len(parts) == 1:
            yield path
        else:
            yield from _fitting(directory, path, parts[1:])


def packed(path: str) -> str:
    """Return how a file of TFRecords is compressed: 'GZIP', 'ZLIB', '' for not."""
    if files.is_remote(path):
        return ""
    kind = tfrecord_files.kind_of(path)
    return "" if kind == "plain" else kind
