"""A folder that appears whole or not at all: written aside, then renamed.

Work happens in DIR.partial. On failure it is deleted, except after the errors in
`kept_on` or a kill: then it stays, so that the caller can continue from it. A folder in
a bucket is made on the local disk first: see remote_folder.py.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator

from sam_pod import errors
from sam_pod.storage import faults, files, remote_folder


def check(output: str) -> str:
    """Return the absolute path of the folder that `output` names.

    Raises:
        UserError: it is not a folder that is empty or still to be made.
    """
    if not output:
        raise errors.UserError("`output` is empty; name the folder to write.")
    if files.is_remote(output):
        return remote_folder.check(output)
    path = os.path.realpath(output)
    try:
        filled = os.path.isdir(path) and bool(os.listdir(path))
    except OSError as error:
        raise _unwritable(output, error) from error
    if filled:
        raise errors.UserError(
            f"`output` {output} already holds files; name a new folder, or delete this "
            "one first."
        )
    if os.path.lexists(path) and (not os.path.isdir(path) or os.path.ismount(path)):
        raise errors.UserError(
            f"`output` {output} is a file or a mount point, which cannot be replaced; "
            "name a new folder."
        )
    return path


def partial(path: str) -> str:
    """Return where the folder `path` is written aside, on the local disk."""
    if files.is_remote(path):
        return remote_folder.local(path)
    return os.path.realpath(path) + ".partial"


def nearest(path: str) -> str:
    """Return the local folder `path`, or the nearest one above it that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


@contextlib.contextmanager
def write(output: str, kept_on: tuple[type[BaseException], ...] = ()) -> Iterator[str]:
    """Yield the folder to write in, which becomes `output` when the block ends well.

    Args:
        output: The folder to make.
        kept_on: Errors after which the work aside stays. If there are any, the folder
            that is yielded holds what an earlier attempt left.

    Raises:
        UserError: `output` is not what `check` takes, or cannot be written.
    """
    path = check(output)
    try:
        with _partial_folder(partial(path), kept_on) as folder:
            yield folder
            if files.is_remote(path):
                remote_folder.send(folder, path)
                shutil.rmtree(folder)
                return
            _sync(folder)
            os.rename(folder, path)
            files.sync(os.path.dirname(path))
    except Exception as error:
        if isinstance(error, OSError) or "OpError" in errors.type_names(error):
            raise _unwritable(output, error) from error
        raise


def _unwritable(output: str, error: Exception) -> errors.UserError:
    reason = getattr(error, "strerror", None) or getattr(error, "message", error)
    return errors.UserError(
        f"Cannot write {output} ({reason}): check its permissions and the space that "
        "is left, or name another folder."
    )


@contextlib.contextmanager
def _partial_folder(
    folder: str, kept_on: tuple[type[BaseException], ...]
) -> Iterator[str]:
    """Make a folder, with what is in it if `kept_on`; delete it on any other error."""
    if not kept_on:
        with _lock(folder) as stale:
            if stale:
                shutil.rmtree(folder)
    os.makedirs(folder, exist_ok=bool(kept_on))
    with _lock(folder):
        try:
            yield folder
        except (*kept_on, faults.StorageLost):
            raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextlib.contextmanager
def _lock(folder: str) -> Iterator[bool]:
    """Hold `folder` against other processes; the system lets go at any death."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    if not files.try_lock(handle):
        os.close(handle)
        raise errors.UserError(
            f"Another process is writing {folder}; wait for it, or name another folder."
        )
    try:
        yield True
    finally:
        os.close(handle)


def _sync(folder: str) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            files.sync(os.path.join(parent, name))
        files.sync(parent)
