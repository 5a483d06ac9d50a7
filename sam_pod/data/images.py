"""Images in a folder or a tar, `train/<class>/*` and `test/<class>/*`.

The examples are sorted by class and file name, so that a folder and a tar of the same
images are the same source. `val` or `validation` serve where there is no `test`.
"""

import array
import os
from collections.abc import Mapping, Sequence

from sam_pod import errors
from sam_pod.data import listing as listing_lib
from sam_pod.data import records

# What a split may be called.
FOLDERS = {"train": ("train",), "test": ("test", "validation", "val")}

_LAYOUT = "the images must lie at train/<class>/<file> and test/<class>/<file>"


def read(path: str, scratch: str = ".") -> records.Source:
    """Return the source in the folder or tar (.tar, .tar.gz) at `path`.

    Args:
        path: Of the images.
        scratch: A folder for what must be unpacked.

    Raises:
        UserError: no images there, or not in the layout.
    """
    if os.path.isdir(path):
        listing = listing_lib.of_folder(path)
    elif os.path.exists(path):
        listing = listing_lib.of_tar(path, scratch)
    else:
        raise errors.UserError(
            f"No source at {path!r}; pass a folder or a tar of images."
        )
    return of_listing(listing)


def of_listing(listing: listing_lib.Listing) -> records.Source:
    """Return the source that a listing shows.

    Raises:
        UserError: no images there, or not in the layout.
    """
    prefix = _leading_folders(listing)
    found = {split: find(listing, split, prefix) for split in records.SPLITS}
    classes = sorted(found["train"])
    for name in sorted(found["test"].keys() - found["train"].keys()):
        raise errors.UserError(
            f"{listing.place} has the class {name!r} in test, but not in train; every "
            "class must have images to train on."
        )
    return records.Source(
        name="images",
        classes=tuple(classes),
        kind="images",
        place=listing.place,
        fingerprint=listing.fingerprint,
        splits={
            split: split_of(listing, by_class, classes, prefix)
            for split, by_class in found.items()
        },
    )


def _leading_folders(listing: listing_lib.Listing) -> str:
    """Return the path of the folders that lie around those of the splits."""
    known = {name for names in FOLDERS.values() for name in names}
    prefix = ""
    while True:
        tops = set()
        for name, size in zip(listing.names, listing.sizes, strict=True):
            path = f"{name}/" if size < 0 else name
            if path.startswith(prefix) and path != prefix:
                tops.add(path.removeprefix(prefix).partition("/")[0])
        if len(tops) != 1 or tops & known:
            return prefix
        prefix += f"{tops.pop()}/"


# By the class: which entries of the listing are its files.
_ByClass = Mapping[str, array.array]


def find(listing: listing_lib.Listing, split: str, prefix: str = "") -> _ByClass:
    """Return the files of each class of a split.

    Raises:
        UserError: there are none, or a class has none.
    """
    for folder in FOLDERS[split]:
        if found := _by_class(listing, f"{prefix}{folder}/", prefix):
            break
    else:
        raise errors.UserError(f"{listing.place} has no images of {split}; {_LAYOUT}.")
    for name in sorted(found):
        if not found[name]:
            raise errors.UserError(
                f"The class folder {folder}/{name} in {listing.place} is empty; add "
                "images or delete the folder."
            )
    return found


def _by_class(listing: listing_lib.Listing, folder: str, prefix: str) -> _ByClass:
    by_class: dict[str, array.array] = {}
    entries = zip(listing.names, listing.sizes, strict=True)
    for index, (path, size) in enumerate(entries):
        if not path.startswith(folder):
            continue
        name, *parts = path.removeprefix(folder).split("/")
        if len(parts) != (0 if size < 0 else 1):
            raise errors.UserError(
                f"{path.removeprefix(prefix)} in {listing.place} is out of place; "
                f"{_LAYOUT}."
            )
        files = by_class.setdefault(name, array.array("q"))
        if size >= 0:
            files.append(index)
    return by_class


def split_of(
    listing: listing_lib.Listing,
    by_class: _ByClass,
    classes: Sequence[str],
    prefix: str = "",
) -> records.Split:
    """Return a split, sorted by class and file name."""
    order, labels = array.array("q"), array.array("q")
    for label, name in enumerate(classes):
        files = sorted(by_class.get(name, ()), key=listing.names.__getitem__)
        order.extend(files)
        labels.extend([label] * len(files))
    return listing_lib.split(listing, order, labels, prefix)
