"""Files in a folder or an archive: listed once, read in any order by any process.

Each takes about 150 bytes of memory, so a million of them are no burden. Files that are
no part of a data set (litter.py) are left out and counted.
"""

import array
import dataclasses
import functools
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence

from sam_pod import errors
from sam_pod.data.sources import archives, litter, zips
from sam_pod.data.stored import records
from sam_pod.storage import turns

SHOWN = 3  # A line gives this many of the names.


@dataclasses.dataclass
class Listing:
    """What is in a folder or an archive, in the order in which it was found."""

    place: str  # The path to name in an error.
    path: str  # The folder, or the place of the archive's bytes.
    fingerprint: str = ""
    names: list[str] = dataclasses.field(default_factory=list)  # Below the top.
    # Where in the archive it starts, 0 in a folder; the size, -1 of a folder.
    offsets: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    sizes: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    # In a zip, three numbers for each: those of `archives.Entry.packed`.
    packed: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    # By the number of an entry: as `archives.Entry.chunks`, where there are some.
    chunks: dict[int, tuple] = dataclasses.field(default_factory=dict)
    no_images: list[str] = dataclasses.field(default_factory=list)  # The first few.
    num_no_images: int = 0
    doubtful: list[str] = dataclasses.field(default_factory=list)  # May hold images.
    _folder: tuple[str, bool] = ("", False)  # The last file's; whether it counts.

    def add(self, name: str, offset: int, size: int) -> bool:
        """Take in a file or a folder, unless it is no part of a data set.

        Texts count among what is no image, and are taken in.
        """
        if size < 0:
            is_wanted = not litter.is_folder(name)
        else:
            is_wanted = self._is_wanted_file(name)
        if is_wanted:
            self.names.append(name)
            self.offsets.append(offset)
            self.sizes.append(size)
        return is_wanted

    def _is_wanted_file(self, name: str) -> bool:
        folder, _, file = name.rpartition("/")
        if turns.is_lock(file):
            return False  # It comes and goes, and is none of the user's.
        if folder != self._folder[0]:
            self._folder = folder, bool(folder) and litter.is_folder(folder)
        kind = litter.kind(file)
        if self._folder[1]:
            kind = "lost" if litter.hides(name) else "litter"
        if kind in ("lost", "packed"):
            self.doubtful.append(name)
        elif kind != "image":
            self._count(name)
        return kind in ("image", "text")

    def _count(self, name: str) -> None:
        self.num_no_images += 1
        # The first by name, so that an archive gives the same names as its folder.
        self.no_images = heapq.nsmallest(SHOWN, [*self.no_images, name])

    def add_entry(self, entry: archives.Entry) -> None:
        """Take in what is in an archive."""
        if self.add(entry.name, entry.offset, entry.size):
            if entry.packed:
                self.packed.extend(entry.packed)
            if entry.chunks:
                self.chunks[len(self.names) - 1] = entry.chunks

    def lines(self) -> tuple[str, ...]:
        """Return the lines about it: none, or one."""
        count = self.num_no_images
        if not count:
            return ()
        files = "file is no image" if count == 1 else "files are no images"
        return (f"{count:,} {files}: {first(self.no_images, count)}.",)

    def check(self) -> None:
        """Refuse one where images may be hidden.

        The archive of a folder of images may lie beside it.

        Raises:
            UserError: naming the first few.
        """
        if not self.doubtful:
            return
        folders = {name.rpartition("/")[0] for name in self._images()}
        hiding = []
        for name in self.doubtful:
            is_beside = name.rpartition("/")[0] not in folders
            is_packed = litter.kind(name.rpartition("/")[2]) == "packed"
            if folders and is_beside and is_packed and os.path.isdir(self.path):
                self._count(name)
            else:
                hiding.append(name)
        self.doubtful.clear()
        if hiding:
            count = len(hiding)
            files = "a file" if count == 1 else f"{count:,} files"
            raise errors.UserError(
                f"{self.place} has {files} where images may be, and none is looked "
                f"for: {first(sorted(hiding)[:SHOWN], count)}. Unpack what is "
                "packed, and move or delete the rest."
            )

    def _images(self) -> Iterator[str]:
        for name, size in zip(self.names, self.sizes, strict=True):
            if size >= 0 and litter.kind(name.rpartition("/")[2]) == "image":
                yield name


def first(names: Sequence[str], count: int) -> str:
    """Return the first names of `count`, and how many more there are, in words."""
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return ", ".join(names) + more


@dataclasses.dataclass(frozen=True)
class _Files:
    """Some files, which can be sent to another process."""

    place: str
    path: str
    prefix: str  # The start of all names, which is not part of their keys.
    names: Sequence[str]
    offsets: Sequence[int]
    sizes: Sequence[int]
    labels: Sequence[int]
    packed: Sequence[tuple[int, ...]]  # Empty but in a zip.
    chunks: Sequence[tuple]  # Empty where no file is sparse.

    def __iter__(self) -> Iterator[records.Item]:
        if os.path.isdir(self.path):
            contents = map(self._of_folder, range(len(self.names)))
        else:
            contents = self._of_archive()
        for content, label, name in zip(contents, self.labels, self.names, strict=True):
            yield records.Item(content, label, name.removeprefix(self.prefix))

    def _of_folder(self, index: int) -> bytes:
        try:
            with open(os.path.join(self.path, self.names[index]), "rb") as file:
                return file.read()
        except OSError as error:
            key = self.names[index].removeprefix(self.prefix)
            raise archives.unreadable(f"{key} in {self.place}", error) from error

    def _of_archive(self) -> Iterator[bytes]:
        try:
            with open(self.path, "rb") as file:
                for index in range(len(self.names)):
                    yield self._member(file.fileno(), index)
        except archives.FAULTS as error:
            raise archives.unreadable(self.place, error) from error

    def _member(self, handle: int, index: int) -> bytes:
        offset, size = self.offsets[index], self.sizes[index]
        if self.packed:
            return zips.read(handle, offset, size, self.packed[index])
        if self.chunks and self.chunks[index]:
            return _sparse(handle, offset, size, self.chunks[index])
        return os.pread(handle, size, offset)


def _sparse(handle: int, offset: int, size: int, chunks: tuple) -> bytes:
    content = bytearray(size)
    for start, length in chunks:
        content[start : start + length] = os.pread(handle, length, offset)
        offset += length
    return bytes(content[:size])


def split(
    listing: Listing, order: Sequence[int], labels: Sequence[int], prefix: str = ""
) -> records.SourceSplit:
    """Return a split of some files of a listing.

    Args:
        listing: The listing of the files.
        order: The numbers of the files in it.
        labels: The label of each.
        prefix: The start of all names, which errors and the digest do not mention.
    """
    num_bytes = sum(listing.sizes[index] for index in order)
    read = functools.partial(_read, listing, order, labels, prefix)
    return records.SourceSplit(len(order), num_bytes, read)


def content(listing: Listing, index: int) -> bytes:
    """Return what is in one file of a listing.

    Raises:
        UserError: it cannot be read.
    """
    (item,) = _read(listing, [index], [0], "", 0, 1)
    return item.image


def _read(
    listing: Listing,
    order: Sequence[int],
    labels: Sequence[int],
    prefix: str,
    start: int,
    stop: int,
) -> Iterable[records.Item]:
    some = order[start:stop]
    packed = listing.packed
    return _Files(
        place=listing.place,
        path=listing.path,
        prefix=prefix,
        names=[listing.names[index] for index in some],
        offsets=[listing.offsets[index] for index in some],
        sizes=[listing.sizes[index] for index in some],
        labels=labels[start:stop],
        packed=[tuple(packed[3 * i : 3 * i + 3]) for i in some] if packed else (),
        chunks=[listing.chunks.get(i, ()) for i in some] if listing.chunks else (),
    )
