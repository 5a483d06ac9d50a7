"""A folder of checkpoints, each of which is whole or not there.

A checkpoint is `ckpt-<step>-<validated epochs>`, which names each state of a run once:
an index file and the data. TensorFlow writes an index in place, so everything is
written to a folder aside and renamed, the index last; without it nothing is read.

In a bucket the folder aside is on the local disk, from which the files are copied, the
index last; a checkpoint is copied to the disk before it is read. TensorFlow's own
readers would take a service that does not answer for a damaged checkpoint.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator

from sam_pod.storage import faults, files

BEST = "best"  # Those of the lowest validation losses: weights and statistics alone.


def name(step: int, validated_epochs: int) -> str:
    """Return the name of a checkpoint."""
    return f"ckpt-{step}-{validated_epochs}"


def paths(directory: str) -> list[str]:
    """Return the whole checkpoints in a folder, oldest first.

    Raises:
        UserError: the folder cannot be read.
    """
    found = {}
    with faults.explained(directory, "list"):
        for file in files.names(directory):
            if match := re.fullmatch(r"(ckpt-(\d+)-(\d+))\.index", file):
                found[int(match[3]), int(match[2])] = match[1]
    return [os.path.join(directory, found[key]) for key in sorted(found)]


def best_paths(directory: str) -> list[str]:
    """Return the best checkpoints that a run's newest one knows of, oldest first.

    The steps to others are done again, and may be others. Where there is no newest one,
    all are returned.

    Raises:
        UserError: the folder cannot be read.
    """
    best, newest = paths(os.path.join(directory, BEST)), paths(directory)[-1:]
    return _known(best, _epochs(newest[0])) if newest else best


def paths_of(directory: str, which: str) -> list[str]:
    """Return `best_paths` where `which` is 'best', else `paths`.

    Raises:
        UserError: the folder cannot be read.
    """
    return best_paths(directory) if which == BEST else paths(directory)


def add(
    directory: str, name: str, write: Callable[[str], object], *, keep: int
) -> None:
    """Write a checkpoint, then delete all but the last `keep`.

    Args:
        directory: The folder, made if it is not there.
        name: The name of a checkpoint that is not there.
        write: A function that writes to a path, as tf.train.Checkpoint.write does.
        keep: The number of checkpoints to keep, with the new one.

    Raises:
        UserError: the disk is full or not writable; what was there stays.
    """
    with faults.explained(directory):
        if files.is_remote(directory):
            _add_remote(directory, name, write)
        else:
            _add_local(directory, name, write)
        _remove_all_but(directory, paths(directory)[-keep:])


def keep_known(directory: str, others: str) -> None:
    """Delete all checkpoints but the last one that each in another folder knows of.

    Args:
        directory: The folder of those that may be deleted.
        others: The folder of the others. One knows what has no more validated epochs.

    Raises:
        UserError: the folder is not writable.
    """
    found = paths(directory)
    known = (_known(found, _epochs(other)) for other in paths(others))
    _keep(directory, found, {each[-1] for each in known if each})


def remove_later(directory: str, validated_epochs: int) -> None:
    """Delete the checkpoints of more validated epochs than that.

    Raises:
        UserError: the folder is not writable.
    """
    found = paths(directory)
    _keep(directory, found, set(_known(found, validated_epochs)))


def _known(paths: list[str], validated_epochs: int) -> list[str]:
    return [path for path in paths if _epochs(path) <= validated_epochs]


def _epochs(path: str) -> int:
    return int(path.rpartition("-")[2])


def _keep(directory: str, found: list[str], kept: set[str]) -> None:
    if kept != set(found):
        with faults.explained(directory):
            _remove_all_but(directory, sorted(kept))


@contextlib.contextmanager
def local(path: str) -> Iterator[str]:
    """Yield the path of a checkpoint, or of its copy, on the local disk.

    Raises:
        UserError: the folder cannot be read.
    """
    if not files.is_remote(path):
        yield path
        return
    directory, prefix = os.path.split(path)
    with tempfile.TemporaryDirectory(prefix="sam_pod-") as copy:
        with faults.explained(directory, "read"):
            for file in files.names(directory):
                if file.startswith(f"{prefix}."):
                    files.download(f"{directory}/{file}", os.path.join(copy, file))
        yield os.path.join(copy, prefix)


def set_aside(path: str) -> None:
    """Keep a checkpoint that cannot be read from being listed.

    Raises:
        UserError: the folder is not writable.
    """
    with faults.explained(os.path.dirname(path)):
        files.rename(f"{path}.index", f"{path}.unreadable")


def _add_local(directory: str, name: str, write: Callable[[str], object]) -> None:
    aside = os.path.join(directory, "partial")
    files.remove_folder(aside)  # A save that was killed left it.
    files.make_folders(aside)
    write(os.path.join(aside, name))
    for file in files.names(aside):  # The data, then the index.
        files.sync(os.path.join(aside, file))
        files.rename(os.path.join(aside, file), os.path.join(directory, file))
    files.remove_folder(aside)
    files.sync(directory)


def _add_remote(directory: str, name: str, write: Callable[[str], object]) -> None:
    files.make_folders(directory)
    with tempfile.TemporaryDirectory(prefix="sam_pod-") as aside:
        with faults.explained(aside):
            write(os.path.join(aside, name))
        for file in files.names(aside):  # The data, then the index.
            files.upload(os.path.join(aside, file), f"{directory}/{file}")


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
