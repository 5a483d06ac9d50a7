"""What is in a folder or an archive, listed once from the top to the bottom."""

import array
import dataclasses
import hashlib
import os
import stat
import zipfile
from collections.abc import Sequence

from sam_pod import errors
from sam_pod.data.sources import archives, litter, packing, tars, zips
from sam_pod.data.sources import listing as listing_lib


def of_folder(root: str) -> listing_lib.Listing:
    """List a folder and those below it.

    Raises:
        UserError: some of it cannot be read, or images may be hidden in it.
    """
    faults: list[tuple[str, str]] = []

    def fail(error: OSError) -> None:
        faults.append((error.filename or root, error.strerror))

    listing, checksum = listing_lib.Listing(root, root), hashlib.sha256()
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


def _count_below(path: str, name: str, listing: listing_lib.Listing) -> None:
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
        few = [f"{path} ({reason})" for path, reason in faults[: listing_lib.SHOWN]]
        shown = listing_lib.first(few, len(faults))
        what = f"{len(faults):,} entries of {root}: {shown}"
    return errors.UserError(
        f"Cannot read {what}: check the paths, their permissions and where links lead."
    )


def of_archive(place: str, scratch: str) -> listing_lib.Listing:
    """List a tar, which may be packed, or a zip: its first bytes say which it is.

    Args:
        place: The archive's path.
        scratch: A folder for unpacked files.

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
    listing = listing_lib.Listing(place, path, archives.fingerprint([place]))
    entries = zips.entries if is_zip else tars.entries
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


def _without_older(listing: listing_lib.Listing) -> listing_lib.Listing:
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
