"""ImageNet (ILSVRC 2012): the official tar files, or folders, also as Kaggle has them.

A folder with ILSVRC2012_img_train.tar (a tar of a tar for each class) and
ILSVRC2012_img_val.tar, or with train/<wnid>/* and val/<wnid>/*. Where the images of
val lie flat, a file says what they are: LOC_val_solution.csv, a text with the wnid of
each image in the order of their names, or the devkit, ILSVRC2012_devkit_t12.tar.gz.
The classes are the wnids.
"""

import array
import dataclasses
import os
import re
from collections.abc import Sequence

from sam_pod import errors, wording
from sam_pod.data.sources import (
    archives,
    devkit,
    flat_labels,
    held_out,
    image_tree,
    images,
    tars,
    walking,
)
from sam_pod.data.sources import listing as listing_lib
from sam_pod.data.stored import records

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
_WNID = re.compile(r"n\d{8}")


def read(folder: str, asked: images.Asked | None = None) -> records.Source:
    """Return the source in a folder.

    Args:
        folder: The folder with the tar files or the tree.
        asked: The wishes for splits and labels, for images of val that lie flat.

    Raises:
        UserError: something is missing, or not as it must be.
    """
    asked = asked or images.Asked()
    if not os.path.isdir(folder):
        raise errors.UserError(
            f"`source` is {folder!r}; for imagenet it must be a folder with {TRAIN} "
            f"and {VAL}, or with train/<wnid>/* and val/<wnid>/*."
        )
    kit = os.path.join(folder, devkit.NAME)
    said = []
    if not asked.labels and os.path.exists(kit):
        asked = dataclasses.replace(asked, labels=kit)
        said = [f"The classes of val are by {kit}."]
    tars = [os.path.join(folder, name) for name in (TRAIN, VAL)]
    there = [path for path in tars if os.path.exists(path)]
    has_tree = all(os.path.isdir(f"{folder}/{name}") for name in ("train", "val"))
    if there and not (has_tree and len(there) < 2):
        source = _of_tars(folder, tars, asked)
    else:
        if said and not _lies_flat(folder):
            asked, said = dataclasses.replace(asked, labels=""), []
        source = _of_tree(folder, asked)
    return dataclasses.replace(
        source, name="imagenet", kind="imagenet", decisions=(*said, *source.decisions)
    )


def _lies_flat(folder: str) -> bool:
    val = os.path.join(folder, "val")
    if not os.path.isdir(val):
        return False
    with os.scandir(val) as entries:
        return not any(entry.is_dir() for entry in entries)


def _of_tree(folder: str, asked: images.Asked) -> records.Source:
    listing = walking.of_folder(folder)
    try:
        return images.of_listing(listing, asked)
    except image_tree.NoLabels as error:
        raise _without_labels(folder) from error


def _without_labels(folder: str) -> errors.UserError:
    return errors.UserError(
        f"The images of val in {folder} do not say their classes: pass --labels=PATH "
        f"of LOC_val_solution.csv, of {devkit.NAME}, or of a text with the wnid of "
        "each, in the order of their names."
    )


def _of_tars(folder: str, tars: Sequence[str], asked: images.Asked) -> records.Source:
    for path in tars:
        if not os.path.exists(path):
            raise errors.UserError(
                f"{folder} lacks {os.path.basename(path)}; both splits are needed."
            )
    train, labels, classes = _read_train_tar(tars[0])
    val = _read_val_tar(folder, tars[1], classes, asked)
    parts = {"train": train, "val": val}
    splits, lines = held_out.chosen(parts, asked.splits, folder, labels)
    fingerprint = archives.fingerprint(tars)
    if asked.labels:
        fingerprint += archives.fingerprint([asked.labels])
    return records.Source(
        name="imagenet",
        classes=tuple(classes),
        kind="imagenet",
        place=folder,
        fingerprint=fingerprint,
        splits=splits,
        decisions=lines,
    )


def _read_train_tar(path: str) -> tuple[records.SourceSplit, array.array, list[str]]:
    listing = listing_lib.Listing(path, path)
    order, labels, classes = array.array("q"), array.array("q"), []
    inner = sorted(tars.members(path, path))
    for name, offset, size in inner:
        wnid = name.removesuffix(".tar")
        if size < 0 or not _WNID.fullmatch(wnid):
            raise errors.UserError(
                f"{path} has a member {name!r}; there must be a tar for each class, "
                "such as n01440764.tar."
            )
        first = len(listing.names)
        for file, start, length in tars.members(
            f"{name} in {path}", path, offset, size
        ):
            if length >= 0:
                listing.add(f"train/{wnid}/{file}", start, length)
        last = len(listing.names)
        if first == last:
            raise errors.UserError(
                f"The class {name} in {path} is empty; fetch it again."
            )
        order.extend(sorted(range(first, last), key=listing.names.__getitem__))
        labels.extend([len(classes)] * (last - first))
        classes.append(wnid)
    if not classes:
        raise errors.UserError(f"{path} has no images of train; fetch it again.")
    return listing_lib.split(listing, order, labels), labels, classes


def _read_val_tar(
    folder: str, path: str, classes: Sequence[str], asked: images.Asked
) -> records.SourceSplit:
    if not asked.labels:
        raise _without_labels(folder)
    listing = walking.of_archive(path, folder)
    names = {
        index: listing.names[index]
        for index, size in enumerate(listing.sizes)
        if size >= 0
    }
    known = {wnid: label for label, wnid in enumerate(classes)}
    found = flat_labels.of_file(
        asked.labels, names, asked.columns, frozenset(known), in_order=True
    )
    if found is None:
        raise _without_labels(folder)
    faults = [*found.faults]
    missing = len(names) - len(found.labels)
    if missing:
        count = wording.counted(missing, "image of val is", "images of val are")
        faults.append(f"{count} in no row of {found.path}")
    faults += [
        f"{names[index]} is of {wnid[:40]!r}, which is no class of train"
        for index, wnid in found.labels.items()
        if wnid not in known
    ]
    if faults:
        raise errors.UserError(f"In {folder}, {image_tree.listed(faults)}.")
    order = sorted(found.labels, key=names.__getitem__)
    labels = [known[found.labels[index]] for index in order]
    return listing_lib.split(listing, array.array("q", order), labels)
