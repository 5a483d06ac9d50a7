"""Files on a local disk and objects in a bucket, behind the same few calls.

A path with '://' goes through TensorFlow's file systems (objects.py). Local files are
on the disk once a call has returned, and are replaced in one step. A bucket has no
locks.
"""

import contextlib
import fcntl
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from sam_pod import errors
from sam_pod.storage import objects, schemes

_MOST_LEVELS = 50  # In JSON; the files written here have five.


def is_remote(path: str) -> bool:
    """Return whether TensorFlow's file systems, and not the system's, have the path."""
    return "://" in path


def check_scheme(path: str, name: str, *, to_write: bool = False) -> None:
    """Refuse a remote path that cannot be served from here; load what serves it.

    Args:
        path: A local or remote path.
        name: The flag or the key that has this value.
        to_write: Whether to refuse what can only be read, too.

    Raises:
        UserError: as raised by `schemes.check`.
    """
    if not is_remote(path):
        return
    if to_write and schemes.scheme_of(path) in schemes.READ_ONLY:
        schemes.check_credentials(path, name)
        raise errors.UserError(
            f"{name} is {path}, and http is for reading alone; give a local folder, "
            "s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."
        )
    schemes.check(path, name)


def exists(path: str) -> bool:
    """Return whether there is a file or a folder of that name."""
    return objects.exists(path) if is_remote(path) else os.path.lexists(path)


def is_folder(path: str) -> bool:
    """Return whether there is a folder of that name."""
    return objects.is_folder(path) if is_remote(path) else os.path.isdir(path)


def names(folder: str) -> list[str]:
    """Return the sorted names of what is in a folder; none when there is no folder."""
    if is_remote(folder):
        return objects.names(folder)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(os.listdir(folder))
    return []


def read(path: str) -> str | None:
    """Return what is in a file; None when there is none."""
    content = read_bytes(path)
    return None if content is None else content.decode()


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, which nests no deeper than _MOST_LEVELS.

    Raises:
        ValueError: it is no such text.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [[value]]
    for _ in range(_MOST_LEVELS + 1):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for part in inner for v in part if isinstance(v, dict | list)]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def read_bytes(path: str) -> bytes | None:
    """Return the bytes of a file; None when there is none."""
    if is_remote(path):
        return objects.read(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def size(path: str) -> int:
    """Return the bytes of a file."""
    return objects.size(path) if is_remote(path) else os.stat(path).st_size


def write(path: str, text: str) -> None:
    """Write a file so that at any moment it has its old or its new content."""
    write_bytes(path, text.encode())


def write_bytes(path: str, content: bytes) -> None:
    """Write bytes as `write` does a text."""
    if is_remote(path):
        objects.write(path, lambda: iter([content]))
        return
    folder = os.path.dirname(path) or "."
    handle, partial = tempfile.mkstemp(dir=folder, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def blocks(path: str) -> Iterator[bytes]:
    """Yield a file piece by piece.

    Raises:
        OSError: it cannot be read; FileNotFoundError: there is none.
    """
    if is_remote(path):
        yield from objects.blocks(path)
        return
    with open(path, "rb") as file:
        while block := file.read(objects.BLOCK_BYTES):
            yield block


def upload(local: str, path: str) -> None:
    """Copy a local file to a remote one, which has its old or its new content."""
    objects.write(path, lambda: blocks(local))


def download(path: str, local: str) -> None:
    """Copy a remote file to the local disk.

    Raises:
        FileNotFoundError: there is none.
    """
    objects.download(path, local)


def check_ranges(path: str) -> None:
    """Refuse a file of an HTTP server that does not send parts of files.

    Raises:
        UserError: naming it.
    """
    objects.check_ranges(path)


def check_rights(folder: str) -> None:
    """Refuse a remote folder in which this process cannot list, write and delete.

    Raises:
        UserError: naming the right that is missing.
    """
    if is_remote(folder):
        objects.check_rights(folder)


def make_folders(path: str) -> None:
    """Make a folder, and those above it, where they are not there."""
    if is_remote(path):
        objects.make_folders(path)
    else:
        os.makedirs(path, exist_ok=True)


def rename(old: str, new: str) -> None:
    """Give a file a name in the same file system, whatever had that name before."""
    if is_remote(old):
        objects.rename(old, new)
    else:
        os.rename(old, new)


def remove(path: str) -> None:
    """Delete a file."""
    if is_remote(path):
        objects.remove(path)
    else:
        os.remove(path)


def remove_folder(path: str) -> None:
    """Delete a folder with all that is in it, if it is there."""
    if is_remote(path):
        objects.remove_folder(path)
    else:
        shutil.rmtree(path, ignore_errors=True)


def sync(path: str) -> None:
    """Wait until a file or a folder is on the disk, not in the system's memory.

    A remote file is where it belongs as soon as it is closed.
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
