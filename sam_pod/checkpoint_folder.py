"""A folder of checkpoints, of which each is whole or not there.

A checkpoint is `ckpt-<step>-<validated epochs>`, which names each state of a run once:
an index file and the data. TensorFlow writes an index in place, so everything is
written to a folder aside and renamed, the index last; without it nothing is read.
"""

import os
import re
from collections.abc import Callable

from sam_pod import errors, files


def name(step: int, validated_epochs: int) -> str:
    """Return the name of a checkpoint."""
    return f"ckpt-{step}-{validated_epochs}"


def paths(directory: str) -> list[str]:
    """Return the whole checkpoints in a folder, oldest first.

    Raises:
        UserError: the folder cannot be read.
    """
    found = {}
    with errors.storage(directory):
        for file in files.names(directory):
            if match := re.fullmatch(r"(ckpt-(\d+)-(\d+))\.index", file):
                found[int(match[3]), int(match[2])] = match[1]
    return [os.path.join(directory, found[key]) for key in sorted(found)]


def add(
    directory: str, name: str, write: Callable[[str], object], *, keep: int
) -> None:
    """Write a checkpoint, then delete all but the last `keep`.

    Args:
        directory: Made if it is not there.
        name: Of a checkpoint that is not there.
        write: Writes to the path that it is given, as tf.train.Checkpoint.write does.
        keep: How many to keep, with the new one.

    Raises:
        UserError: the disk is full or not writable; what was there stays.
    """
    with errors.storage(directory):
        aside = os.path.join(directory, "partial")
        files.remove_folder(aside)  # Of a save that was killed.
        files.make_folders(aside)
        write(os.path.join(aside, name))
        for file in files.names(aside):  # The data, then the index.
            files.sync(os.path.join(aside, file))
            files.rename(os.path.join(aside, file), os.path.join(directory, file))
        files.remove_folder(aside)
        files.sync(directory)
        _remove_all_but(directory, paths(directory)[-keep:])


def set_aside(path: str) -> None:
    """Keep a checkpoint that cannot be read from being listed.

    Raises:
        UserError: the folder is not writable.
    """
    with errors.storage(os.path.dirname(path)):
        files.rename(f"{path}.index", f"{path}.unreadable")


def _remove_all_but(directory: str, kept: list[str]) -> None:
    stays = tuple(f"{os.path.basename(path)}." for path in kept)
    old = [
        file
        for file in files.names(directory)
        if re.match(r"ckpt-.*\.", file) and not file.startswith(stays)
    ]
    # The indices first: without one nobody takes the rest for a checkpoint.
    for file in sorted(old, key=lambda name: not name.endswith(".index")):
        files.remove(os.path.join(directory, file))
