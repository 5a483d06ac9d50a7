"""Files on a local disk and objects in a bucket, behind the same few calls.

A path with '://' goes through TensorFlow's file systems (gs:// is built in), imported
for it alone. Local files are on the disk when we say so and are replaced in one step.
An object appears whole once it is written to its end; its renaming is a copy and a
deletion, and nothing can be held against other processes.
"""

import contextlib
import fcntl
import io
import os
import shutil
import tempfile
import uuid
from types import ModuleType
from typing import IO

from sam_pod import errors


def is_remote(path: str) -> bool:
    """Return whether TensorFlow's file systems, and not the system's, have the path."""
    return "://" in path


def check_scheme(path: str, name: str) -> None:
    """Refuse a remote path that no file system here serves.

    Args:
        path: Local or remote.
        name: Of the flag or the key that it is the value of.

    Raises:
        UserError: with the schemes that are known.
    """
    if not is_remote(path):
        return
    known = sorted(scheme for scheme in _gfile().get_registered_schemes() if scheme)
    scheme = path.partition("://")[0]
    if scheme not in known:
        raise errors.UserError(
            f"{name} is {path}, and TensorFlow knows no file system {scheme!r} here; "
            f"it knows {', '.join(f'{each}://' for each in known)} and local folders."
        )


def exists(path: str) -> bool:
    """Return whether there is a file or a folder of that name."""
    return _gfile().exists(path) if is_remote(path) else os.path.lexists(path)


def is_folder(path: str) -> bool:
    """Return whether there is a folder of that name."""
    return _gfile().isdir(path) if is_remote(path) else os.path.isdir(path)


def names(folder: str) -> list[str]:
    """Return the sorted names of what is in a folder; none when there is no folder."""
    if not is_remote(folder):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(os.listdir(folder))
        return []
    if not _gfile().isdir(folder):
        return []
    # An object store tells folders by a slash at the end.
    return sorted(name.rstrip("/") for name in _gfile().listdir(folder))


def read(path: str) -> str | None:
    """Return what is in a file; None when there is none."""
    if is_remote(path):
        if not _gfile().exists(path):
            return None
        with _gfile().GFile(path, "rb") as file:
            return file.read().decode()
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path: str, text: str) -> None:
    """Write a file so that at any moment it has its old or its new content."""
    if is_remote(path):
        # Not all file systems that TensorFlow knows replace what they open for writing.
        partial = f"{path}.{uuid.uuid4().hex}"
        with _gfile().GFile(partial, "wb") as file:
            file.write(text.encode())
        rename(partial, path)
        return
    folder = os.path.dirname(path) or "."
    handle, partial = tempfile.mkstemp(dir=folder, prefix=".partial-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def make_folders(path: str) -> None:
    """Make a folder, and those above it, where they are not there."""
    if path.startswith("gs://"):
        # There a folder comes with what is in it; and TensorFlow, asked to make one in
        # a bucket that does not exist, asks for the bucket without end.
        return
    if is_remote(path):
        _gfile().makedirs(path)
    else:
        os.makedirs(path, exist_ok=True)


def rename(old: str, new: str) -> None:
    """Give a file a name in the same file system, whatever had that name before."""
    if is_remote(old):
        _gfile().rename(old, new, overwrite=True)
    else:
        os.rename(old, new)


def remove(path: str) -> None:
    """Delete a file."""
    if is_remote(path):
        _gfile().remove(path)
    else:
        os.remove(path)


def remove_folder(path: str) -> None:
    """Delete a folder with all that is in it, if it is there."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    import tensorflow as tf

    # A folder of a bucket may be gone with the last thing in it.
    with contextlib.suppress(tf.errors.NotFoundError):
        tf.io.gfile.rmtree(path)


def sync(path: str) -> None:
    """Wait until a file or a folder is on the disk, not in the system's memory.

    A remote one is where it belongs as soon as it is closed.
    """
    if is_remote(path):
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(path: str) -> IO | None:
    """Hold a file, made if it is not there, until it is closed; None if another does.

    The system closes it at any death of this process. An object store has no locks:
    there nothing is held, and nothing is made.
    """
    if is_remote(path):
        return io.StringIO()
    file = open(path, "w")  # noqa: SIM115
    if try_lock(file):
        return file
    file.close()
    return None


def try_lock(file: int | IO) -> bool:
    """Hold an open file or folder until it is closed; False when another has it.

    The system closes it at any death of this process. Where a network file system has
    no locks, nothing is held and the answer is True.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _gfile() -> ModuleType:
    import tensorflow as tf

    return tf.io.gfile
