"""SVHN, the cropped digits: train_32x32.mat and test_32x32.mat of its authors.

http://ufldl.stanford.edu/housenumbers: in each file X, uint8 `[32, 32, 3, N]`, and y,
`[N, 1]`, with 10 for the digit 0.
"""

import os

import numpy as np
import scipy.io

from sam_pod import errors
from sam_pod.data import archives, arrays, records

FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def read(folder: str) -> records.Source:
    """Return the source in the folder with both files; they are held in memory.

    Raises:
        UserError: one is missing, or not as it must be.
    """
    paths = {split: os.path.join(folder, name) for split, name in FILES.items()}
    fingerprint = archives.fingerprint(paths.values())
    return records.Source(
        name="svhn",
        classes=tuple(map(str, range(10))),
        kind="svhn-mat",
        place=folder,
        fingerprint=fingerprint,
        splits={split: _split(split, path) for split, path in paths.items()},
    )


def _split(split: str, path: str) -> records.Split:
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
    return arrays.split(split, images, labels.astype(np.int64) % 10)
