"""Checks on a file or an archive before its content is trusted."""

import contextlib
import errno
import hashlib
import lzma
import os
import posixpath
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

from sam_pod import errors
from sam_pod.data.sources import litter, packing
from sam_pod.storage import files

# Errors that a broken archive makes its reader raise.
FAULTS = (
    *(OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile,),
)
# Both are needed: the first follows symbolic links alone.
_REPACK = "Pack it again with `tar --dereference --hard-dereference`"


class Entry(NamedTuple):
    """A file or a folder in an archive."""

    name: str
    offset: int  # Byte at which it starts; in a zip its header.
    size: int  # Its bytes unpacked; -1 for a folder.
    link: str = ""  # For a link: the path in the archive to which it leads.
    packed: tuple[int, ...] = ()  # In a zip: its bytes, the method and the CRC-32.
    # For a sparse file: the place of each run of bytes, and its length.
    chunks: tuple[tuple[int, int], ...] = ()


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file.

    Raises:
        UserError: it cannot be read.
    """
    checksum = hashlib.sha256()
    try:
        for block in files.blocks(path):
            checksum.update(block)
    except OSError as error:
        raise unreadable(path, error) from error
    return checksum.hexdigest()


@contextlib.contextmanager
def readable(path: str, *others: type[Exception]) -> Iterator[None]:
    """Turn errors about a source's content into one line.

    Args:
        path: The path to name.
        others: Further errors that its content may raise, beside FAULTS.

    Raises:
        UserError: the source cannot be read.
    """
    try:
        yield
    except (*FAULTS, *others) as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> errors.UserError:
    """Return the error for a source that cannot be read."""
    reason = getattr(error, "strerror", None) or errors.reason(error)
    return errors.UserError(
        f"Cannot read {path} ({reason}): check the path, its permissions and, for an "
        "archive, that its download was complete."
    )


def checked_path(archive: str, name: str) -> str:
    """Return the path of a member within its archive, without './'.

    Nothing is ever unpacked; such an archive is no data set that anyone published.

    Raises:
        UserError: the path leaves the archive's folder.
    """
    is_absolute = name.startswith("/") or re.match(r"[A-Za-z]:/", name)
    if is_absolute or ".." in name.split("/"):
        raise errors.UserError(
            f"{archive} has a member {name!r} that escapes its folder; a path "
            "must be relative and without '..'. Do not use this archive."
        )
    return posixpath.normpath(name)


def no_file(archive: str, name: str) -> errors.UserError:
    """Return the error for a member that is no file, no folder and no link."""
    return errors.UserError(
        f"{archive} has a member {name!r} that is a device or a pipe; only files and "
        "folders are read. Leave it out when you pack the archive."
    )


def target(archive: str, name: str, link: str) -> str:
    """Return the path in the archive to which a symbolic link leads.

    Raises:
        UserError: it leads out of the archive.
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    if link.startswith("/") or path.split("/")[0] == "..":
        raise errors.UserError(
            f"{archive} has a member {name!r} that escapes its folder, for it is a "
            f"link to {link!r}. {_REPACK}, or unpack it and pass the folder."
        )
    return path


def followed(place: str, entries: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
    """Yield the entries of an archive, and at the end what its links lead to.

    Args:
        place: The name to use in an error.
        entries: A function that yields the archive's entries, at each call.

    Raises:
        UserError: a link leads to no file of the archive; or as `entries`.
    """
    links = {}
    for entry in entries():
        if not entry.link:
            yield entry
        elif not litter.is_folder(entry.name):
            links[entry.name] = entry.link
    if not links:
        return
    ends = {name: _end(name, links) for name in links}
    wanted = set(ends.values())
    found = {e.name: e for e in entries() if e.name in wanted and not e.link}
    lost = [name for name, end in ends.items() if end not in found]
    lost += [name for name in ends if name not in lost and found[ends[name]].size < 0]
    if lost:
        raise errors.UserError(
            f"{place} has a member {lost[0]!r} that is a link to "
            f"{links[lost[0]]!r}, which is no file in it ({len(lost):,} in all). "
            f"{_REPACK}, or unpack it and pass the folder."
        )
    for name, end in ends.items():
        yield found[end]._replace(name=name)


def _end(name: str, links: Mapping[str, str]) -> str:
    """Return where a chain of links ends; '' where it goes round."""
    seen = set()
    while name in links:
        if name in seen:
            return ""
        seen.add(name)
        name = links[name]
    return name


def fingerprint(paths: Iterable[str]) -> str:
    """Return a text that changes when one of these files may have changed."""
    checksum = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise unreadable(path, error) from error
        checksum.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return checksum.hexdigest()


def random_access(path: str, scratch: str) -> str:
    """Return a path at which the bytes of a file can be read, unpacked.

    Args:
        path: The path of a file, which may be packed in a way that `packing` knows.
        scratch: An existing folder for a file without a name: the unpacked content goes
            away with this process, however that ends, and is there for its children.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError: it cannot be read or unpacked.
        UserError: it is packed in a way that cannot be undone here.
    """
    return packing.unpack(path, path, lambda content: unnamed_copy(content, scratch))


def unnamed_copy(content: BinaryIO, scratch: str) -> str:
    """Return the path of a copy that goes with this process; see `random_access`.

    Raises:
        UserError: the disk is full.
    """
    copy = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
    try:
        shutil.copyfileobj(content, copy, 1 << 20)
        copy.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise errors.UserError(
            f"No space is left to unpack the source, which is done in {scratch}: free "
            "some, or unpack it elsewhere and pass the folder."
        ) from error
    _COPIES.append(copy)
    return f"/proc/{os.getpid()}/fd/{copy.fileno()}"


_COPIES: list[BinaryIO] = []  # Kept open.
