"""Files in a folder or an archive: listed once, read in any order by any process.

About 150 bytes of memory for each, so that a million of them are no burden. What is no
part of a data set (litter.py) is left out and counted.
"""

import array
import dataclasses
import functools
import hashlib
import heapq
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence

from sam_pod import errors
from sam_pod.data.sources import archives, litter, packing, zips
from sam_pod.data.stored import records

_SHOWN = 3  # Names of many that a line gives.


@dataclasses.dataclass
class Listing:
    """What is in a folder or an archive, in the order in which it was found."""

    place: str  # The path to name in an error.
    path: str  # Of the folder, or where the bytes of the archive are.
    fingerprint: str = ""
    names: list[str] = dataclasses.field(default_factory=list)  # Below the top.
    # Where in the archive it starts, 0 in a folder; the size, -1 of a folder.
    offsets: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    sizes: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    # In a zip, for each three numbers: as `archives.Entry.packed`.
    packed: array.array = dataclasses.field(default_factory=lambda: array.array("q"))
    # By the number of an entry: as `archives.Entry.chunks`, where there are some.
    chunks: dict[int, tuple] = dataclasses.field(default_factory=dict)
    no_images: list[str] = dataclasses.field(default_factory=list)  # The first few.
    num_no_images: int = 0
    doubtful: list[str] = dataclasses.field(default_factory=list)  # May hold images.
    _folder: tuple[str, bool] = ("", False)  # Of the last file; whether it counts.

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
        # The first by name, so that an archive says what its folder does.
        self.no_images = heapq.nsmallest(_SHOWN, [*self.no_images, name])

    def add_entry(self, entry: archives.Entry) -> None:
        """Take in what is in an archive."""
        if self.add(entry.name, entry.offset, entry.size):
            if entry.packed:
                self.packed.extend(entry.packed)
            if entry.chunks:
                self.chunks[len(self.names) - 1] = entry.chunks

    def lines(self) -> tuple[str, ...]:
        """Return what there is to say of it: nothing, or one line."""
        count = self.num_no_images
        if not count:
            return ()
        files = "file is no image" if count == 1 else "files are no images"
        return (f"{count:,} {files}: {_first(self.no_images, count)}.",)

    def check(self) -> None:
        """Refuse one where images may be hidden.

        What a folder of images was unpacked from may lie beside it.

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
                f"for: {_first(sorted(hiding)[:_SHOWN], count)}. Unpack what is "
                "packed, and move or delete the rest."
            )

    def _images(self) -> Iterator[str]:
        for name, size in zip(self.names, self.sizes, strict=True):
            if size >= 0 and litter.kind(name.rpartition("/")[2]) == "image":
                yield name


def _first(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return ", ".join(names) + more


def of_folder(root: str) -> Listing:
    """List a folder and those below it.

    Raises:
        UserError: some of it cannot be read, or images may be hidden in it.
    """
    faults: list[tuple[str, str]] = []

    def fail(error: OSError) -> None:
        faults.append((error.filename or root, error.strerror))

    listing, checksum = Listing(root, root), hashlib.sha256()
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        folders.sort()
        below = os.path.relpath(folder, root)
        for name in list(folders):
            path = os.path.normpath(os.path.join(below, name))
            if not listing.add(path, 0, -1):
                folders.remove(name)
                _count_below(os.path.join(folder, name), path, listing)
            elif _goes_round(folder, name):
                folders.remove(name)
                faults.append((path, "a link to a folder around it"))
        for name in sorted(files):
            path = os.path.normpath(os.path.join(below, name))
            try:
                status = os.stat(os.path.join(folder, name))
            except OSError as error:
                if litter.kind(name) == "image":
                    faults.append((path, error.strerror))
                continue
            if not stat.S_ISREG(status.st_mode):
                faults.append((path, "a device or a pipe"))
            elif listing.add(path, 0, status.st_size):
                line = f"{path}\0{status.st_size} {status.st_mtime_ns}\n"
                checksum.update(os.fsencode(line))
    if faults:
        raise _unreadable(root, faults)
    listing.check()
    listing.fingerprint = checksum.hexdigest()
    return listing


def _goes_round(folder: str, name: str) -> bool:
    path = os.path.join(folder, name)
    if not os.path.islink(path):
        return False
    around = os.path.realpath(path)
    return os.path.commonpath([around, os.path.realpath(folder)]) == around


def _count_below(path: str, name: str, listing: Listing) -> None:
    for folder, folders, files in os.walk(path):
        folders.sort()
        below = os.path.relpath(folder, path)
        for file in sorted(files):
            listing.add(os.path.normpath(os.path.join(name, below, file)), 0, 0)


def _unreadable(root: str, faults: Sequence[tuple[str, str]]) -> errors.UserError:
    if len(faults) == 1:
        path, reason = faults[0]
        what = f"{path} in {root} ({reason})"
    else:
        few = (f"{path} ({reason})" for path, reason in faults[:_SHOWN])
        what = f"{len(faults):,} entries of {root}: {_first(list(few), len(faults))}"
    return errors.UserError(
        f"Cannot read {what}: check the paths, their permissions and where links lead."
    )


def of_archive(place: str, scratch: str) -> Listing:
    """List a tar, which may be packed, or a zip: its first bytes say which it is.

    Args:
        place: Its path.
        scratch: A folder for what is unpacked.

    Raises:
        UserError: it is broken or none, has a member that escapes, or images may be
            hidden in it.
    """
    try:
        path = archives.random_access(place, scratch)
        packing.check_archive(path, place)
        is_zip = packing.is_zip(path) or _ends_as_zip(path)
    except archives.FAULTS as error:
        raise archives.unreadable(place, error) from error
    listing = Listing(place, path, archives.fingerprint([place]))
    entries = zips.entries if is_zip else archives.tar_entries
    for entry in archives.followed(place, lambda: entries(place, path)):
        listing.add_entry(entry)
    listing.check()
    return _without_older(listing)


def _ends_as_zip(path: str) -> bool:
    """Return whether a file that begins otherwise is a zip, as one that unpacks itself.

    A tar may well hold a zip as its last member.
    """
    start = packing.head(path)
    return start.startswith((b"MZ", b"#!", b"\x7fELF")) and zipfile.is_zipfile(path)


def _without_older(listing: Listing) -> Listing:
    """Return the listing with the last of each name, as unpacking would leave it."""
    last = dict(zip(listing.names, range(len(listing.names)), strict=True))
    if len(last) == len(listing.names):
        return listing
    kept = sorted(last.values())
    packed = array.array("q")
    for index in kept if listing.packed else ():
        packed.extend(listing.packed[3 * index : 3 * index + 3])
    return dataclasses.replace(
        listing,
        names=[listing.names[index] for index in kept],
        offsets=array.array("q", (listing.offsets[index] for index in kept)),
        sizes=array.array("q", (listing.sizes[index] for index in kept)),
        packed=packed,
        chunks={
            new: listing.chunks[index]
            for new, index in enumerate(kept)
            if index in listing.chunks
        },
    )


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
