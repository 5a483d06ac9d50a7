"""SVHN, the cropped digits: train_32x32.mat and test_32x32.mat of its authors.

http://ufldl.stanford.edu/housenumbers: in each file X, uint8 `[32, 32, 3, N]`, and y,
`[N, 1]`, with 10 for the digit 0.
"""

import os

import numpy as np
import scipy.io

from sam_pod import errors
from sam_pod.data.sources import archives, arrays, held_out, split_names
from sam_pod.data.stored import records

FILES = {
    "train": "train_32x32.mat",
    "test": "test_32x32.mat",
    "extra": "extra_32x32.mat",
}


def read(folder: str, wish: split_names.Wish | None = None) -> records.Source:
    """Return the source in the folder with the files; they are held in memory.

    Args:
        folder: A folder with train_32x32.mat, test_32x32.mat and perhaps
            extra_32x32.mat.
        wish: The user's choice of splits.

    Raises:
        UserError: one is missing, or not as it must be.
    """
    wish = wish or split_names.Wish()
    paths = {split: os.path.join(folder, name) for split, name in FILES.items()}
    there = {split: path for split, path in paths.items() if os.path.isfile(path)}
    full = [
        n
        for n in ("train.tar.gz", "test.tar.gz", "digitStruct.mat")
        if os.path.exists(os.path.join(folder, n))
    ]
    if not there and full:
        raise errors.UserError(
            f"{folder} has {full[0]}, the whole numbers (format 1) of SVHN; what is "
            "read are the cropped digits (format 2), train_32x32.mat and "
            "test_32x32.mat."
        )
    if "train" not in there or ("test" not in there and not wish.test_share):
        for split in ("train", "test"):
            if split not in there:
                raise archives.unreadable(
                    paths[split], FileNotFoundError(2, "No such file or directory")
                )
    choice = split_names.choose(dict.fromkeys(there, True), wish, folder)
    loaded = {name: _load(there[name]) for name in choice.names.values()}
    parts = {
        split: arrays.split(split, *loaded[name])
        for split, name in choice.names.items()
    }
    splits, held = held_out.with_test(
        parts, choice.test_share, lambda _: loaded[choice.names["train"]][1]
    )
    return records.Source(
        name="svhn",
        classes=tuple(map(str, range(10))),
        kind="svhn-mat",
        place=folder,
        fingerprint=archives.fingerprint(there[n] for n in choice.names.values()),
        splits=splits,
        decisions=(*choice.decisions, *held),
    )


def _load(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images [N, 32, 32, 3] and labels of a file."""
    try:
        content = scipy.io.loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # Whatever a file that is broken makes of it.
        raise archives.unreadable(path, error) from error
    images, labels = content.get("X"), content.get("y")
    if images is None or labels is None:
        raise errors.UserError(
            f"{path} lacks the variable {'X' if images is None else 'y'}; it must be "
            "a file of the cropped digits (format 2) of SVHN."
        )
    images, labels = np.moveaxis(images, -1, 0), labels.ravel()
    fits = images.shape == (len(labels), 32, 32, 3) and images.dtype == np.uint8
    if not fits or not len(labels):
        raise errors.UserError(
            f"{path} has X of {images.dtype} {images.shape} (examples first) and "
            f"{len(labels)} labels; it must be uint8 [N, 32, 32, 3], N above 0."
        )
    if labels.min() < 1 or labels.max() > 10:
        raise errors.UserError(
            f"{path} has labels from {labels.min()} to {labels.max()}; they must be "
            "from 1 to 10 (for the digit 0)."
        )
    return images, labels.astype(np.int64) % 10
