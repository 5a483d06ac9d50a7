"""MNIST and Fashion-MNIST: IDX files, packed with gzip or not.

http://yann.lecun.com/exdb/mnist, https://github.com/zalandoresearch/fashion-mnist
"""

import gzip
import os

import numpy as np

from sam_pod import errors
from sam_pod.data import archives, arrays, records

CLASSES = {
    "mnist": tuple(map(str, range(10))),
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}

_PREFIXES = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 8


def read(name: str, folder: str) -> records.Source:
    """Return the source in the folder with the four files.

    Args:
        name: 'mnist' or 'fashion_mnist'.
        folder: Of train-images-idx3-ubyte.gz and the like.

    Raises:
        UserError: a file is missing, or not as it must be.
    """
    paths = {
        split: (
            _find(folder, f"{prefix}-images-idx3-ubyte"),
            _find(folder, f"{prefix}-labels-idx1-ubyte"),
        )
        for split, prefix in _PREFIXES.items()
    }
    return records.Source(
        name=name,
        classes=CLASSES[name],
        kind="idx",
        place=folder,
        fingerprint=archives.fingerprint(
            path for pair in paths.values() for path in pair
        ),
        channels=1,
        splits={split: _split(split, *pair) for split, pair in paths.items()},
    )


def _find(folder: str, name: str) -> str:
    for path in (os.path.join(folder, f"{name}.gz"), os.path.join(folder, name)):
        if os.path.exists(path):
            return path
    raise errors.UserError(
        f"{folder} lacks {name}.gz; it must be a folder with the four files of the "
        "data set, packed or not."
    )


def _split(split: str, images_path: str, labels_path: str) -> records.Split:
    images, labels = _array(images_path, 3), _array(labels_path, 1)
    if len(images) != len(labels):
        raise errors.UserError(
            f"{images_path} has {len(images)} images, but {labels_path} "
            f"{len(labels)} labels; there must be as many."
        )
    if labels.max() > 9:
        raise errors.UserError(
            f"{labels_path} has the label {labels.max()}; it must be from 0 to 9."
        )
    return arrays.split(split, images[..., np.newaxis], labels)


def _array(path: str, num_axes: int) -> np.ndarray:
    """Return what an IDX file holds: zeros, type, axes, their sizes, the bytes."""
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            content = file.read()
    except archives.FAULTS as error:
        raise archives.unreadable(path, error) from error
    start = 4 + 4 * num_axes
    shape = np.frombuffer(content[4:start][: len(content[4:start]) // 4 * 4], ">u4")
    whole = len(shape) == num_axes and len(content) - start == np.prod(
        shape, dtype=np.int64
    )
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, num_axes]) or not whole:
        raise errors.UserError(
            f"{path} is no IDX file of bytes with {num_axes} axes that is whole; "
            "fetch it anew."
        )
    if not shape.all():
        raise errors.UserError(f"{path} holds nothing; fetch it anew.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
