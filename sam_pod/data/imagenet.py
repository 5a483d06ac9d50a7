"""ImageNet (ILSVRC 2012): the official tar files, or folders.

A folder with ILSVRC2012_img_train.tar (a tar of a tar for each class) and
ILSVRC2012_img_val.tar, or with train/<wnid>/* and val/<wnid>/*. Where the images of
val lie flat, a file says what they are: a text with the wnid of each image in the order
of their names, or the devkit, ILSVRC2012_devkit_t12.tar.gz. The classes are the wnids.
"""

import array
import dataclasses
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Sequence

import scipy.io

from sam_pod import errors
from sam_pod.data import archives, images, records
from sam_pod.data import listing as listing_lib

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
_TRUTH, _META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
_WNID = re.compile(r"n\d{8}")


def read(folder: str, labels: str = "") -> records.Source:
    """Return the source in a folder.

    Args:
        folder: With the tar files or the tree.
        labels: Path of the text or the devkit, for images of val that lie flat.

    Raises:
        UserError: something is missing, or not as it must be.
    """
    if not os.path.isdir(folder):
        raise errors.UserError(
            f"`source` is {folder!r}; for imagenet it must be a folder with {TRAIN} "
            f"and {VAL}, or with train/<wnid>/* and val/<wnid>/*."
        )
    train_tar, val_tar = (os.path.join(folder, name) for name in (TRAIN, VAL))
    if os.path.exists(train_tar) or os.path.exists(val_tar):
        for path in (train_tar, val_tar):
            if not os.path.exists(path):
                raise errors.UserError(
                    f"{folder} lacks {os.path.basename(path)}; both splits are needed."
                )
        train, classes = _read_train_tar(train_tar)
        listing = listing_lib.of_tar(val_tar, folder)
        fingerprint = archives.fingerprint([train_tar, val_tar])
    else:
        listing = listing_lib.of_folder(folder)
        val = [name for name in listing.names if name.startswith("val/")]
        if not val or val[0].count("/") > 1 or os.path.isdir(f"{folder}/{val[0]}"):
            return _renamed(images.of_listing(listing))
        train, classes = _read_train_tree(listing)
        fingerprint = listing.fingerprint
    return records.Source(
        name="imagenet",
        classes=tuple(classes),
        kind="imagenet",
        place=folder,
        fingerprint=fingerprint + (archives.fingerprint([labels]) if labels else ""),
        splits={"train": train, "test": _flat_val(folder, listing, classes, labels)},
    )


def _renamed(source: records.Source) -> records.Source:
    return dataclasses.replace(source, name="imagenet", kind="imagenet")


def _read_train_tar(path: str) -> tuple[records.Split, list[str]]:
    listing = listing_lib.Listing(path, path)
    order, labels, classes = array.array("q"), array.array("q"), []
    inner = sorted(archives.members(path, path))
    for name, offset, size in inner:
        wnid = name.removesuffix(".tar")
        if size < 0 or not _WNID.fullmatch(wnid):
            raise errors.UserError(
                f"{path} has a member {name!r}; there must be a tar for each class, "
                "such as n01440764.tar."
            )
        first = len(listing.names)
        for file, start, length in archives.members(
            f"{name} in {path}", path, offset, size
        ):
            if length >= 0:
                listing.add(f"train/{wnid}/{file}", start, length)
        last = len(listing.names)
        if first == last:
            raise errors.UserError(
                f"The class {name} in {path} is empty; fetch it anew."
            )
        order.extend(sorted(range(first, last), key=listing.names.__getitem__))
        labels.extend([len(classes)] * (last - first))
        classes.append(wnid)
    if not classes:
        raise errors.UserError(f"{path} has no images of train; fetch it anew.")
    return listing_lib.split(listing, order, labels), classes


def _read_train_tree(
    listing: listing_lib.Listing,
) -> tuple[records.Split, list[str]]:
    found = images.find(listing, "train")
    return images.split_of(listing, found, sorted(found)), sorted(found)


def _flat_val(
    folder: str,
    listing: listing_lib.Listing,
    classes: Sequence[str],
    labels: str,
) -> records.Split:
    if not labels:
        raise errors.UserError(
            f"The images of val in {folder} do not say their classes: pass "
            "--labels=PATH of ILSVRC2012_devkit_t12.tar.gz, or of a text with the wnid "
            "of each, in the order of their names."
        )
    files = (i for i, size in enumerate(listing.sizes) if size >= 0)
    if os.path.isdir(listing.path):
        files = (i for i in files if listing.names[i].startswith("val/"))
    order = array.array("q", sorted(files, key=listing.names.__getitem__))
    wnids = list(_read_labels(labels))
    if len(wnids) != len(order):
        raise errors.UserError(
            f"{labels} has {len(wnids)} labels, but there are {len(order)} images of "
            f"val in {folder}; there must be one for each."
        )
    known = {wnid: label for label, wnid in enumerate(classes)}
    for line, wnid in enumerate(wnids, 1):
        if wnid not in known:
            raise errors.UserError(
                f"Label {line} of {labels} is {wnid[:40]!r}, which is no class of "
                f"train; it must be a wnid such as {classes[0]}."
            )
    return listing_lib.split(listing, order, [known[wnid] for wnid in wnids])


def _read_labels(path: str) -> Iterator[str]:
    """Yield the wnid of each image of val."""
    if _is_tar(path):
        yield from _read_devkit(path)
        return
    try:
        with open(path, encoding="utf-8") as file:
            yield from file.read().split()
    except (OSError, UnicodeDecodeError) as error:
        raise archives.unreadable(path, error) from error


def _is_tar(path: str) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False


def _read_devkit(path: str) -> Iterator[str]:
    found = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = os.path.basename(archives.member_path(path, member))
                if name in (_TRUTH, _META) and member.isfile():
                    found[name] = tar.extractfile(member).read()
    except archives.FAULTS as error:
        raise archives.unreadable(path, error) from error
    for name in (_TRUTH, _META):
        if name not in found:
            raise errors.UserError(
                f"{path} lacks {name}; it must be ILSVRC2012_devkit_t12.tar.gz."
            )
    try:
        with tempfile.TemporaryFile() as file:
            file.write(found[_META])
            file.seek(0)
            synsets = scipy.io.loadmat(file, squeeze_me=True)["synsets"]
        wnids = {
            int(number): str(wnid)
            for number, wnid in zip(
                synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True
            )
        }
        yield from [wnids[int(line)] for line in found[_TRUTH].split()]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise archives.unreadable(f"the labels in {path}", error) from error
