"""Files in a folder or in a tar: listed once, read in any order by any process.

About 150 bytes of memory for each, so that a million of them are no burden.
"""

import array
import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence

from sam_pod.data import archives, records


@dataclasses.dataclass
class Listing:
    """What is in a folder or a tar, in the order in which it was found."""

    place: str  # The path to name in an error.
    path: str  # Of the folder, or where the bytes of the tar are.
    fingerprint: str = ""
    names: list[str] = dataclasses.field(default_factory=list)  # Below the top.
    # Where in the tar it starts, 0 in a folder; the size, -1 of a folder.
    offsets: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    sizes: array.array = dataclasses.field(default_factory=lambda: array.array("q"))

    def add(self, name: str, offset: int, size: int) -> None:
        """Take in a file or a folder, unless it is hidden."""
        if not any(part.startswith(".") for part in name.split("/")):
            self.names.append(name)
            self.offsets.append(offset)
            self.sizes.append(size)


def of_folder(root: str) -> Listing:
    """List a folder and those below it.

    Raises:
        UserError: one of them cannot be read.
    """

    def fail(error: OSError) -> None:
        raise archives.unreadable(error.filename or root, error) from error

    listing, checksum = Listing(root, root), hashlib.sha256()
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        folders.sort()
        below = os.path.relpath(folder, root)
        for name in folders:
            listing.add(os.path.normpath(os.path.join(below, name)), 0, -1)
        for name in sorted(files):
            path = os.path.normpath(os.path.join(below, name))
            try:
                status = os.stat(os.path.join(folder, name))
            except OSError as error:
                raise archives.unreadable(os.path.join(folder, name), error) from error
            listing.add(path, 0, status.st_size)
            line = f"{path}\0{status.st_size} {status.st_mtime_ns}\n"
            checksum.update(os.fsencode(line))
    listing.fingerprint = checksum.hexdigest()
    return listing


def of_tar(place: str, scratch: str) -> Listing:
    """List a tar, which may be packed with gzip.

    Args:
        place: Its path.
        scratch: A folder for what is unpacked.

    Raises:
        UserError: it is broken, or has a member that escapes.
    """
    try:
        path = archives.random_access(place, scratch)
    except archives.FAULTS as error:
        raise archives.unreadable(place, error) from error
    listing = Listing(place, path, archives.fingerprint([place]))
    for name, offset, size in archives.members(place, path):
        listing.add(name, offset, size)
    return listing


@dataclasses.dataclass(frozen=True)
class _Files:
    """Some files, which can be sent to another process."""

    place: str
    path: str
    prefix: str  # Of all names; it is not part of their keys.
    names: Sequence[str]
    offsets: Sequence[int]
    sizes: Sequence[int]
    labels: Sequence[int]

    def __iter__(self) -> Iterator[records.Item]:
        if os.path.isdir(self.path):
            contents = map(self._of_folder, range(len(self.names)))
        else:
            contents = self._of_tar()
        for content, label, name in zip(contents, self.labels, self.names, strict=True):
            yield records.Item(content, label, name.removeprefix(self.prefix))

    def _of_folder(self, index: int) -> bytes:
        try:
            with open(os.path.join(self.path, self.names[index]), "rb") as file:
                return file.read()
        except OSError as error:
            key = self.names[index].removeprefix(self.prefix)
            raise archives.unreadable(f"{key} in {self.place}", error) from error

    def _of_tar(self) -> Iterator[bytes]:
        try:
            with open(self.path, "rb") as file:
                for offset, size in zip(self.offsets, self.sizes, strict=True):
                    yield os.pread(file.fileno(), size, offset)
        except OSError as error:
            raise archives.unreadable(self.place, error) from error


def split(
    listing: Listing, order: Sequence[int], labels: Sequence[int], prefix: str = ""
) -> records.Split:
    """Return a split of some files of a listing.

    Args:
        listing: Of the files.
        order: Which they are.
        labels: Of each.
        prefix: Of all their names, which errors and the digest do not mention.
    """
    num_bytes = sum(listing.sizes[index] for index in order)
    read = functools.partial(_read, listing, order, labels, prefix)
    return records.Split(len(order), num_bytes, read)


def _read(
    listing: Listing,
    order: Sequence[int],
    labels: Sequence[int],
    prefix: str,
    start: int,
    stop: int,
) -> Iterable[records.Item]:
    some = order[start:stop]
    return _Files(
        place=listing.place,
        path=listing.path,
        prefix=prefix,
        names=[listing.names[index] for index in some],
        offsets=[listing.offsets[index] for index in some],
        sizes=[listing.sizes[index] for index in some],
        labels=labels[start:stop],
    )
