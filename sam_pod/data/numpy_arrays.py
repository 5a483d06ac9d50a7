"""NumPy arrays: x_train, y_train, x_test and y_test, as of keras.datasets.

In one .npz file, or in a folder as .npy files, which are mapped into memory.
"""

import dataclasses
import functools
import os
import zipfile
from collections.abc import Iterator

import numpy as np

from sam_pod import errors
from sam_pod.data import archives, records


def read(path: str, scratch: str = ".") -> records.Source:
    """Return the source in an .npz file or a folder of .npy files.

    Args:
        path: Of either.
        scratch: A folder for the arrays of an .npz file, which are unpacked.

    Raises:
        UserError: an array is missing, or not as it must be.
    """
    names = [f"{kind}_{split}" for split in records.SPLITS for kind in "xy"]
    if os.path.isdir(path):
        paths = {name: os.path.join(path, f"{name}.npy") for name in names}
        for name in names:
            if not os.path.exists(paths[name]):
                raise _missing(path, name)
        fingerprint = archives.fingerprint(paths.values())
    else:
        fingerprint = archives.fingerprint([path])
        paths = _unpacked(path, names, scratch)
    labels = {split: _labels(path, split, paths) for split in records.SPLITS}
    images = {split: _open(path, f"x_{split}", paths) for split in records.SPLITS}
    for split, array in images.items():
        _check(path, split, array, labels[split])
    return records.Source(
        name="numpy",
        classes=tuple(map(str, range(1 + max(int(y.max()) for y in labels.values())))),
        kind="numpy",
        place=path,
        fingerprint=fingerprint,
        channels=images["train"].shape[3] if images["train"].ndim == 4 else 1,
        splits={
            split: records.Split(
                len(labels[split]),
                array.nbytes,
                functools.partial(_read, split, paths[f"x_{split}"], labels[split]),
            )
            for split, array in images.items()
        },
    )


def _unpacked(path: str, names: list[str], scratch: str) -> dict[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            there = set(archive.namelist())
            unpacked = {}
            for name in names:
                if f"{name}.npy" not in there:
                    raise _missing(path, name)
                with archive.open(f"{name}.npy") as member:
                    unpacked[name] = archives.unnamed_copy(member, scratch)
            return unpacked
    except errors.UserError:
        raise
    except (*archives.FAULTS, ValueError, RuntimeError) as error:
        raise archives.unreadable(path, error) from error


def _missing(path: str, name: str) -> errors.UserError:
    return errors.UserError(
        f"{path} lacks the array {name}; it must have x_train, y_train, x_test, y_test."
    )


def _open(place: str, name: str, paths: dict[str, str]) -> np.ndarray:
    try:
        return np.load(paths[name], mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:
        raise archives.unreadable(f"{name} in {place}", error) from error


def _labels(place: str, split: str, paths: dict[str, str]) -> np.ndarray:
    labels = _open(place, f"y_{split}", paths)
    if labels.ndim == 2 and labels.shape[1] == 1:  # As keras.datasets has them.
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise errors.UserError(
            f"y_{split} in {place} is {labels.dtype} {labels.shape}; it must be whole "
            "numbers [N] or [N, 1], N above 0."
        )
    if labels.min() < 0:
        raise errors.UserError(
            f"y_{split} in {place} has the label {labels.min()}; it must be 0 or above."
        )
    return np.array(labels)


def _check(place: str, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if images.dtype != np.uint8 or not fits or len(images) != len(labels):
        raise errors.UserError(
            f"x_{split} in {place} is {images.dtype} {images.shape}; it must be uint8 "
            f"[N, H, W] or [N, H, W, 1 or 3], N as of y_{split} ({len(labels)})."
        )


def _read(split: str, path: str, labels: np.ndarray, start: int, stop: int) -> "_Rows":
    return _Rows(split, path, labels[start:stop], start)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Some examples, read from the disk where they are needed."""

    split: str
    path: str
    labels: np.ndarray
    start: int

    def __iter__(self) -> Iterator[records.Item]:
        images = np.load(self.path, mmap_mode="r")
        for index, label in enumerate(self.labels, self.start):
            image = np.array(images[index])
            if image.ndim == 2:
                image = image[..., np.newaxis]
            yield records.Item(image, int(label), f"{self.split}/{index}")
