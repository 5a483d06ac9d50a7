"""What is in a tar archive, whose members lie in it one after the other."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from sam_pod import errors
from sam_pod.data.sources import archives


def own_path(archive: str, member: tarfile.TarInfo) -> str:
    """Return the path of a member of an archive whose files are read by name.

    Raises:
        UserError: as `member_path`, or the member is a link, which nobody published.
    """
    if member.islnk() or member.issym():
        raise errors.UserError(
            f"{archive} has a member {member.name!r} that is a link; the published "
            "archive has none. Fetch it again from where the data set came from."
        )
    return member_path(archive, member)


def member_path(archive: str, member: tarfile.TarInfo) -> str:
    """Return the path of a member within its archive, without './'.

    Raises:
        UserError: the path leaves the archive's folder, or it is a device.
    """
    path = archives.checked_path(archive, member.name)
    is_link = member.islnk() or member.issym()
    if not (member.isfile() or member.isdir() or is_link):
        raise archives.no_file(archive, member.name)
    return path


def _target(archive: str, member: tarfile.TarInfo) -> str:
    """Return the path in the archive to which a link leads; '' for what is none."""
    if member.islnk():  # It names another member.
        return archives.checked_path(archive, member.linkname)
    if member.issym():
        return archives.target(archive, member.name, member.linkname)
    return ""


def members(
    archive: str, path: str, start: int = 0, size: int | None = None
) -> Iterator[tuple[str, int, int]]:
    """Yield name, byte offset in the file and size of what is in an unpacked tar.

    The size of a folder is -1. No more than one member is held in memory.

    Args:
        archive: The name to use in an error.
        path: The file that has its bytes.
        start: The byte at which the archive starts in the file; one may hold others.
        size: The archive's bytes; by default all that follow.

    Raises:
        UserError: it is broken, or has a member that escapes or lies in pieces.
    """
    for entry in archives.followed(
        archive, lambda: entries(archive, path, start, size)
    ):
        if entry.chunks:
            raise errors.UserError(
                f"{archive} has a member {entry.name!r} that is stored with holes: "
                "pack it again without `tar --sparse`."
            )
        yield entry[:3]


def entries(
    archive: str, path: str, start: int = 0, size: int | None = None
) -> Iterator[archives.Entry]:
    """Yield what is in an unpacked tar, its links as such; see `members`.

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
                yield archives.Entry(
                    member_path(archive, member),
                    start + member.offset_data,
                    member.size if member.isfile() else -1,
                    _target(archive, member),
                    chunks=tuple(member.sparse or ()),
                )
            # tarfile takes a broken header for the end; the end is a block of zeros.
            end = os.pread(file.fileno(), tarfile.BLOCKSIZE, start + tar.offset)
            if end[: size - tar.offset].strip(b"\0"):
                raise tarfile.ReadError(f"a broken header at byte {tar.offset}")
            if tar.offset >= size:
                raise tarfile.ReadError(f"it is cut short at byte {tar.offset}")
        except errors.UserError:
            raise
        except (*archives.FAULTS, ValueError) as error:
            raise archives.unreadable(archive, error) from error


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
