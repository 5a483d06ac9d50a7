"""What is asked of a file or a tar archive before its content is trusted."""

import contextlib
import gzip
import hashlib
import io
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from sam_pod import errors

# What a broken archive makes its reader raise.
FAULTS = (OSError, EOFError, tarfile.TarError, zlib.error)


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file.

    Raises:
        UserError: it cannot be read.
    """
    checksum = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                checksum.update(block)
    except OSError as error:
        raise unreadable(path, error) from error
    return checksum.hexdigest()


def unreadable(path: str, error: Exception) -> errors.UserError:
    """Return the error for a source that cannot be read."""
    reason = getattr(error, "strerror", None) or error
    return errors.UserError(
        f"Cannot read {path} ({reason}): check the path, its permissions and, for an "
        "archive, that its download was complete."
    )


def member_path(archive: str, member: tarfile.TarInfo) -> str:
    """Return the path of a member within its archive, without './'.

    Nothing is ever unpacked; such an archive is no data set that anyone published.

    Raises:
        UserError: the path leaves the archive's folder, or it is no file or folder.
    """
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        raise errors.UserError(
            f"{archive} has a member {member.name!r} that escapes its folder; a path "
            "must be relative and without '..'. Do not use this archive."
        )
    if not member.isfile() and not member.isdir():
        raise errors.UserError(
            f"{archive} has a member {member.name!r} that is a link or a device; only "
            "files and folders are read. Pack it again with `tar --dereference`."
        )
    return posixpath.normpath(member.name)


def fingerprint(paths: Iterable[str]) -> str:
    """Return what is another text when one of these files may have changed."""
    checksum = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise unreadable(path, error) from error
        checksum.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return checksum.hexdigest()


def random_access(path: str, scratch: str) -> str:
    """Return a path at which the bytes of a file, unpacked from gzip, can be read.

    Args:
        path: Of a file that is packed or not.
        scratch: A folder that exists, for a file without a name: what is unpacked goes
            with this process, however that ends, and is there for its children.

    Raises:
        OSError, EOFError, zlib.error: it cannot be read, or cannot be unpacked.
    """
    with open(path, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path
        file.seek(0)
        with gzip.open(file, "rb") as packed:
            return unnamed_copy(packed, scratch)


def unnamed_copy(content: BinaryIO, scratch: str) -> str:
    """Return the path of a copy that goes with this process; see `random_access`."""
    copy = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
    shutil.copyfileobj(content, copy, 1 << 20)
    copy.flush()
    _COPIES.append(copy)
    return f"/proc/{os.getpid()}/fd/{copy.fileno()}"


_COPIES: list[BinaryIO] = []  # Kept open.


def members(
    archive: str, path: str, start: int = 0, size: int | None = None
) -> Iterator[tuple[str, int, int]]:
    """Yield name, byte offset in the file and size of what is in an unpacked tar.

    The size of a folder is -1. No more than one member is held in memory.

    Args:
        archive: The name to use in an error.
        path: Where it can be read.
        start: Byte at which the archive starts in the file: one may hold others.
        size: Its bytes; all that follow.

    Raises:
        UserError: it is broken, or has a member that escapes.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
            size = os.fstat(file.fileno()).st_size - start if size is None else size
            region = io.BufferedReader(_Region(file, start, size), 512)
            tar = stack.enter_context(tarfile.open(fileobj=region, mode="r:"))
            while member := tar.next():
                tar.members.clear()
                name = member_path(archive, member)
                length = member.size if member.isfile() else -1
                yield name, start + member.offset_data, length
            # tarfile takes a broken header for the end; the end is a block of zeros.
            end = os.pread(file.fileno(), tarfile.BLOCKSIZE, start + tar.offset)
            if end[: size - tar.offset].strip(b"\0"):
                raise tarfile.ReadError(f"a broken header at byte {tar.offset}")
            if tar.offset >= size:
                raise tarfile.ReadError(f"it is cut short at byte {tar.offset}")
        except FAULTS as error:
            raise unreadable(archive, error) from error


class _Region(io.RawIOBase):
    """Part of a file, as a file that is read."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._handle, self._start, self._size = file.fileno(), start, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))
        block = os.pread(self._handle, wanted, self._start + self._position)
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)
