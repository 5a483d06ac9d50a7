"""Splits from lists beside folders of classes, as some sets are published.

    images/<class>/*  meta/train.txt  meta/test.txt      Food-101: a path on each line
    Images/<class>/*  TrainImages.txt  TestImages.txt    MIT Indoor and others
    Images/<class>/*  train_list.mat  test_list.mat      Stanford Dogs
    images/<class>/*  images.txt  train_test_split.txt   CUB-200: number and path,
                                                         number and 1 for training
Lists that do not fit the images, or of which several may be meant, are not used.
"""

import array
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sam_pod.data.sources import image_tree, mat_tables, split_names
from sam_pod.data.sources import listing as listing_lib

_CUB = ("images.txt", "train_test_split.txt")
_SUFFIXES = (".txt", mat_tables.SUFFIX)
_LARGEST = 1 << 28  # Bytes of a list; no set has a longer one.
_LOOKED_AT = 20  # Lines that show whether a text is a list of images.
_WAY_ON = "a table of the columns file, label and split says them, as --labels=FILE.csv"


class Published(NamedTuple):
    """The splits in some lists."""

    splits: Mapping[int, str]  # The split of each image; empty where no list is used.
    line: str  # The line about them; '' where there is no list.


class _Paths:
    """Finds an image by its path in a list: whole, but for its extension."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._images: dict[str, int] = {}
        self._stems: dict[str, int | None] = {}
        for image, path in names.items():
            self._images[path] = image
            stem = os.path.splitext(path)[0]
            # A stem does not say which of two that differ by the extension alone.
            self._stems[stem] = None if stem in self._stems else image

    def find(self, line: str) -> int | None:
        """Return the image that a line names, with folders around it and a class."""
        for value in (line, line.rsplit(None, 1)[0], line.partition(",")[0]):
            path = value.strip().replace("\\", "/").removeprefix("./")
            while path:
                image = self._images.get(path, self._stems.get(path))
                if image is not None:
                    return image
                path = path.partition("/")[2]
        return None


def find(tree: image_tree.Tree, names_of: Callable[[], Mapping[int, str]]) -> Published:
    """Return which split each image is of, by the lists in a tree.

    Args:
        tree: A tree of folders of classes without folders of splits.
        names_of: A function that returns each image's path below the tree's prefix.
    """
    texts = _texts(tree.listing)
    if not texts:
        return Published({}, "")
    listing, names = tree.listing, names_of()
    paths = _Paths(names)
    for inside in texts.values():
        if inside.keys() >= set(_CUB):
            return _of_cub(listing, [inside[name] for name in _CUB], paths, len(names))
    lists = _lists(listing, texts, paths)
    every = sorted(listing.names[n] for of in lists for ns in of.values() for n in ns)
    if not every:
        return Published({}, "")
    is_clear = len(lists) == 1 and all(len(ns) == 1 for ns in lists[0].values())
    if not is_clear:
        return Published({}, _unused(every, "it is not clear which of them is meant"))
    if "train" not in lists[0] or len(lists[0]) == 1:
        return Published({}, _unused(every, "of one split alone"))
    return _of_lists(
        listing,
        {s: lists[0][s][0] for s in split_names.WORDS if s in lists[0]},
        paths,
        names,
    )


def groups(
    whole: image_tree.Group, splits: Mapping[int, str]
) -> dict[str, image_tree.Group]:
    """Return the images of a group by their splits; those of none are left out."""
    made: dict[str, image_tree.Group] = {}
    for label, files in whole.by_class.items():
        for image in files:
            if name := splits.get(image, ""):
                group = made.setdefault(name, image_tree.Group(name))
                group.by_class.setdefault(label, array.array("q")).append(image)
    for group in made.values():
        group.faults += whole.faults
    return made


def _texts(listing: listing_lib.Listing) -> dict[str, dict[str, int]]:
    """Return the number of each text that may be a list, by its folder and name."""
    found: dict[str, dict[str, int]] = {}
    for number, name in enumerate(listing.names):
        if name.endswith(_SUFFIXES) and 0 < listing.sizes[number] < _LARGEST:
            folder, _, file = name.rpartition("/")
            if file in _CUB or _split_of(file):
                found.setdefault(folder, {})[file] = number
    return found


def _lists(
    listing: listing_lib.Listing, texts: Mapping[str, Mapping[str, int]], paths: _Paths
) -> list[dict[str, list[int]]]:
    """Return for each folder, by the split, the texts that name images of it."""
    found = []
    for inside in texts.values():
        of_folder: dict[str, list[int]] = {}
        for file, number in inside.items():
            split = _split_of(file)
            if split and _is_list(listing, number, paths):
                of_folder.setdefault(split, []).append(number)
        if of_folder:
            found.append(of_folder)
    return found


def _split_of(file: str) -> str:
    return split_names.mentioned(os.path.splitext(file)[0])


def _lines(listing: listing_lib.Listing, number: int) -> list[str]:
    content = listing_lib.content(listing, number)
    if listing.names[number].endswith(mat_tables.SUFFIX):
        return mat_tables.paths(content)
    text = content.decode("utf-8-sig", "replace")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _is_list(listing: listing_lib.Listing, number: int, paths: _Paths) -> bool:
    some = _lines(listing, number)[:_LOOKED_AT]
    return 2 * sum(paths.find(line) is not None for line in some) > len(some)


def _of_lists(
    listing: listing_lib.Listing,
    lists: Mapping[str, int],
    paths: _Paths,
    names: Mapping[int, str],
) -> Published:
    """Return what one list for each split says."""
    files = [listing.names[number] for number in lists.values()]
    splits: dict[int, str] = {}
    unknown = 0
    for split, number in lists.items():
        for line in _lines(listing, number):
            image = paths.find(line)
            if image is None:
                unknown += 1
            elif splits.setdefault(image, split) != split:
                both = f"{names[image]} is in {splits[image]} and in {split}"
                return Published({}, _unused(files, both))
    return Published(splits, _said(files, splits, len(names), unknown))


def _of_cub(
    listing: listing_lib.Listing, files: list[int], paths: _Paths, total: int
) -> Published:
    """Return what CUB's list of numbered paths and that of numbers for training say."""
    named, told = (
        dict(line.split(None, 1) for line in _lines(listing, n) if line.split()[1:])
        for n in files
    )
    said = [listing.names[n] for n in files]
    if not set(told.values()) <= {"0", "1"}:
        return Published({}, _unused(said, "their second column is not of 0 and 1"))
    images = {key: paths.find(path) for key, path in named.items()}
    splits = {
        image: "train" if told[key] == "1" else "test"
        for key, image in images.items()
        if image is not None and key in told
    }
    if len(set(splits.values())) < 2:
        return Published(
            {}, _unused(said, "they name no images to train or to test on")
        )
    unknown = sum(image is None for image in images.values())
    return Published(splits, _said(said, splits, total, unknown))


def _said(files: list[str], splits: Mapping[int, str], total: int, unknown: int) -> str:
    rest = total - len(splits)
    counts = [
        f"{sum(each == split for each in splits.values()):,} of {split}"
        for split in dict.fromkeys(splits.values())
    ]
    return (
        f"The splits are those of {' and '.join(files)}: {', '.join(counts)}"
        + (f"; {rest:,} images are in none of them and left out" if rest else "")
        + (f"; {unknown:,} lines name no image" if unknown else "")
        + "."
    )


def _unused(files: list[str], why: str) -> str:
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    reason = f" ({why})" if why else ""
    return (
        f"{', '.join(files[:3])}{more} may say splits, and nothing is taken from "
        f"there{reason}: {_WAY_ON}."
    )
