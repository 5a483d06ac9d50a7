"""Objects in a bucket and files behind a URL, through TensorFlow's file systems.

An object appears whole once it is written to its end; renaming one is a copy and a
deletion. Failures are tried again (retries.py), and a missing right is named. Unlike
the clients of s3:// and http://, nothing here takes a service that does not answer for
one that has no such file.
"""

import uuid
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TypeVar

from sam_pod import errors
from sam_pod.storage import faults, retries, schemes, web

T = TypeVar("T")

BLOCK_BYTES = 1 << 23
# A folder there comes with what is in it, and a file is replaced as a whole by what is
# written under its name.
_STORES = ("s3", "gs", "az")


def exists(path: str) -> bool:
    """Return whether there is a file or a folder of that name."""
    if _do(path, "read", lambda: _gfile().exists(path)):
        return True
    return _is_masked(path) and (_is_file(path) or bool(names(path)))


def is_folder(path: str) -> bool:
    """Return whether there is a folder of that name."""
    if _is_masked(path):
        return bool(names(path))

    def look() -> bool | None:
        return _unless_missing(lambda: _gfile().stat(path).is_directory)

    return bool(_do(path, "list", look))


def names(folder: str) -> list[str]:
    """Return the sorted names of what is in a folder; none if it cannot be listed."""
    if web.is_http(folder):
        return []

    # The public call asks first whether there is a folder, and takes silence for a no.
    from tensorflow.python.lib.io import _pywrap_file_io

    def children() -> list[str]:
        return _unless_missing(lambda: _pywrap_file_io.GetChildren(folder)) or []

    # An object store marks folders by a slash at the end.
    return sorted(name.rstrip("/") for name in _do(folder, "list", children))


def read(path: str) -> bytes | None:
    """Return what is in a file; None when there is none."""
    return _unless_missing(lambda: b"".join(blocks(path)))


def blocks(path: str) -> Iterator[bytes]:
    """Yield a file piece by piece; after a failure it continues where it was.

    It asks for no more than is there, which the client for s3:// needs.
    """
    import tensorflow as tf

    offset, end = 0, size(path)
    file = None

    def read_on() -> bytes:
        nonlocal file
        try:
            if file is None:
                file = _gfile().GFile(path, "rb")
                file.seek(offset)
            if block := file.read(min(BLOCK_BYTES, end - offset)):
                return block
            raise tf.errors.UnavailableError(None, None, f"it ends at byte {offset}")
        except Exception:
            file = None  # Its buffer may hold anything.
            raise

    while offset < end:
        block = _do(path, "read", read_on)
        offset += len(block)
        yield block


def size(path: str) -> int:
    """Return the bytes of a file.

    Raises NotFoundError where there is none.
    """
    import tensorflow as tf

    def stat() -> int:
        if web.is_http(path):  # TensorFlow's client would fetch the whole file.
            return web.num_bytes(path)
        try:
            found = _gfile().stat(path)
        except tf.errors.NotFoundError:
            _check_is_missing(path)
            raise
        if found.is_directory:
            raise tf.errors.NotFoundError(None, None, f"{path} is a folder")
        return found.length

    return _do(path, "read", stat)


def check_ranges(path: str) -> None:
    """Refuse a file of an HTTP server that does not send parts of files.

    Raises:
        UserError: naming it.
    """
    if not web.is_http(path):
        return
    status = _do(path, "read", lambda: web.ask(path, "GET", Range="bytes=1-1").status)
    if status != 206:
        raise errors.UserError(
            f"The server of {path} ignores Range requests, by which parts of a file "
            "are read: use one that honours them, such as nginx."
        )


def write(path: str, blocks: Callable[[], Iterator[bytes]]) -> None:
    """Write a file so that at any moment it has its old or its new content.

    This holds after a kill, too. An exception raised by `blocks` may leave what was
    written until then, because closing an object's file makes the object.

    Args:
        path: The file's path.
        blocks: A function that returns the content, called at each attempt.
    """
    in_place = schemes.scheme_of(path) in _STORES
    target = path if in_place else f"{path}.{uuid.uuid4().hex}"

    def put() -> None:
        with _gfile().GFile(target, "wb") as file:
            file.write(b"")  # It is opened by this: an empty file is one, too.
            for block in blocks():
                file.write(block)

    _do(path, "write", put)
    if not in_place:
        # Not all of these replace what they open for writing.
        rename(target, path)


def download(path: str, local: str) -> None:
    """Copy a file to the local disk.

    Raises:
        FileNotFoundError: there is none.
    """

    def copy() -> bool:
        with open(local, "wb") as file:
            file.writelines(blocks(path))
        return True

    if not _unless_missing(copy):
        raise FileNotFoundError(path)


def check_rights(folder: str) -> None:
    """Write a file, list it and delete it, so that a missing right is known.

    Raises:
        UserError: naming the right.
    """
    names(folder)
    path = f"{folder}/.rights-{uuid.uuid4().hex}"
    write(path, lambda: iter([b"This file may be deleted.\n"]))
    remove(path)


def make_folders(path: str) -> None:
    """Make a folder, and those above it, where they are not there."""
    # In a bucket that does not exist TensorFlow would ask for the bucket without end.
    if schemes.scheme_of(path) not in _STORES:
        _do(path, "write", lambda: _gfile().makedirs(path))


def rename(old: str, new: str) -> None:
    """Give a file a name in the same file system, whatever had that name before."""
    if schemes.scheme_of(old) == "s3":
        # Its own renames all files whose names begin so.
        content = read(old)
        if content is None:
            raise FileNotFoundError(old)
        write(new, lambda: iter([content]))
        remove(old)
        return
    _do(old, "write", lambda: _gfile().rename(old, new, overwrite=True))


def remove(path: str) -> None:
    """Delete a file."""
    _do(path, "delete", lambda: _gfile().remove(path))


def remove_folder(path: str) -> None:
    """Delete a folder with all that is in it, if it is there."""
    # It may be gone with the last thing in it.
    _do(path, "delete", lambda: _unless_missing(lambda: _gfile().rmtree(path)))


def _do(path: str, action: str, function: Callable[[], T]) -> T:
    """Do something with a path; `action` is the right that it needs."""
    try:
        return retries.persist(function, path)
    except Exception as error:
        if faults.is_refused(error):
            raise errors.UserError(faults.remote(path, error, action)) from error
        raise


def _is_masked(path: str) -> bool:
    """Return whether the client calls a file missing when its question has failed."""
    return web.is_http(path) or schemes.scheme_of(path) == "s3"


def _unless_missing(function: Callable[[], T]) -> T | None:
    import tensorflow as tf

    try:
        return function()
    except tf.errors.NotFoundError:
        return None


def _is_file(path: str) -> bool:
    def probe() -> bool:
        with _gfile().GFile(path, "rb") as file:
            file.read(1)
        return True

    return bool(_do(path, "read", lambda: _unless_missing(probe)))


def _check_is_missing(path: str) -> None:
    """Raise the error that keeps a file from being seen, unless it is missing."""
    import tensorflow as tf

    if _is_masked(path) and _is_file(path):
        raise tf.errors.UnavailableError(None, None, f"{path} could not be looked at")


def _gfile() -> ModuleType:
    import tensorflow as tf

    return tf.io.gfile
