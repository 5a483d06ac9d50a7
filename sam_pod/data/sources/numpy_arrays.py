"""NumPy arrays: x_train, y_train, x_test and y_test, as in keras.datasets.

In one .npz file, or in a folder as .npy files, which are mapped into memory. Other
usual names do as well, such as train_images and train_labels.
"""

import contextlib
import dataclasses
import functools
import os
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from sam_pod import errors
from sam_pod.data.sources import (
    archives,
    held_out,
    label_values,
    labelled,
    labels,
    split_names,
)
from sam_pod.data.stored import raw_pixels, records

_ROWS = 1 << 14  # Labels that are looked at together.
_NUMBERS = 1 << 24  # Numbers of images that are looked at together.


def read(
    path: str, scratch: str = ".", wish: split_names.Wish | None = None
) -> records.Source:
    """Return the source in an .npz file or a folder of .npy files.

    Args:
        path: The path of either.
        scratch: A folder for the unpacked arrays of an .npz file.
        wish: The user's choice of splits.

    Raises:
        UserError: an array is missing, or not as it must be.
    """
    arrays = _Arrays(path, scratch)
    chosen = labelled.choose(
        labelled.Groups(path, arrays.groups, "y", arrays.found, arrays.has_labels), wish
    )
    names, classes = chosen.names, chosen.classes
    decisions = [*chosen.decisions, *classes.decisions]
    numbers = {split: arrays.classes_of(name, classes) for split, name in names.items()}
    splits, channels = {}, 0
    for split, name in names.items():
        image, is_first = arrays.images(name, len(numbers[split]))
        if image.dtype != np.uint8:
            decisions.append(
                f"{arrays.groups[name]['images']} is {image.dtype}, all of it from 0 "
                "to 255: it is read as uint8."
            )
        if is_first:
            decisions.append(f"The channels of {arrays.groups[name]['images']} lead.")
        channels = channels or _channels(image, is_first)
        read_rows = functools.partial(
            _read, name, arrays.path(name, "images"), numbers[split]
        )
        splits[split] = records.SourceSplit(len(numbers[split]), image.size, read_rows)
    splits, held = held_out.with_test(
        splits, chosen.test_share, lambda _: numbers["train"].tolist()
    )
    return records.Source(
        name="numpy",
        classes=classes.names,
        kind="numpy",
        place=path,
        fingerprint=arrays.fingerprint,
        channels=channels,
        splits=splits,
        decisions=(*decisions, *held),
    )


def _channels(images: np.ndarray, is_first: bool) -> int:
    if images.ndim == 3:
        return 1
    return images.shape[1 if is_first else 3]


class _Arrays:
    """The arrays of a source, by the split and the kind that their names mean."""

    def __init__(self, place: str, scratch: str) -> None:
        self._place, self._scratch = place, scratch
        self._is_folder = os.path.isdir(place)
        self._unpacked: dict[str, str] = {}
        self._found: dict[str, label_values.Found] = {}
        names = self._names()
        self.groups: dict[str, dict[str, str]] = {}
        for name in names:
            split, kind = split_names.array(name)
            if not split:
                continue
            there = self.groups.setdefault(split, {})
            if kind in there:
                raise errors.UserError(
                    f"{place} has {there[kind]} and {name}, both {kind} of {split}: "
                    "leave one of them out."
                )
            there[kind] = name
        self.groups = {
            name: there for name, there in self.groups.items() if "images" in there
        }
        if not self.groups:
            packed = sorted(f for f in self._files() if f.endswith(".npz"))
            way = f" Pass one of its .npz files, such as {packed[0]}." if packed else ""
            raise errors.UserError(
                f"{place} lacks the array x_train; it must have x_train, y_train, "
                f"x_test, y_test, and it has {', '.join(names)[:200] or 'none'}.{way}"
            )
        used = [name for there in self.groups.values() for name in there.values()]
        self.fingerprint = archives.fingerprint(
            [os.path.join(place, f"{name}.npy") for name in used]
            if self._is_folder
            else [place]
        )

    def _names(self) -> list[str]:
        found = self._files()
        return sorted(n.removesuffix(".npy") for n in found if n.endswith(".npy"))

    def _files(self) -> list[str]:
        if self._is_folder:
            return os.listdir(self._place)
        with self._readable(), zipfile.ZipFile(self._place) as archive:
            return archive.namelist()

    def _readable(self) -> contextlib.AbstractContextManager[None]:
        """Say in one line why the archive cannot be read."""
        return archives.readable(self._place, ValueError, RuntimeError)

    def path(self, group: str, kind: str) -> str:
        """Return where an array can be mapped from."""
        name = self.groups[group][kind]
        if self._is_folder:
            return os.path.join(self._place, f"{name}.npy")
        if name not in self._unpacked:
            with (
                self._readable(),
                zipfile.ZipFile(self._place) as archive,
                archive.open(f"{name}.npy") as member,
            ):
                copy = archives.unnamed_copy(member, self._scratch)
            self._unpacked[name] = copy
        return self._unpacked[name]

    def open(self, group: str, kind: str) -> np.ndarray:
        """Return an array, mapped into memory."""
        path = self.path(group, kind)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:
            name = f"{self.groups[group][kind]} in {self._place}"
            if "Python objects" in str(error) or "allow_pickle" in str(error):
                raise errors.UserError(
                    f"{name} holds Python objects; it must hold numbers or texts: save "
                    "np.array(list_of_them), which is of one type."
                ) from error
            raise archives.unreadable(name, error) from error

    def found(self, group: str) -> label_values.Found:
        """Return which labels a group has."""
        if group not in self._found:
            array = self.open(group, "labels")
            if not array.ndim or not len(array):
                raise errors.UserError(
                    f"{self.groups[group]['labels']} in {self._place} is {array.dtype} "
                    f"{array.shape}; it must be [N], [N, 1] or one-hot [N, K], N above "
                    "0."
                )
            self._found[group] = label_values.Found()
            self._found[group].add(array)
        return self._found[group]

    def has_labels(self, group: str) -> bool:
        """Return whether a group has labels other than -1."""
        return "labels" in self.groups[group] and not self.found(group).is_missing

    def classes_of(self, group: str, classes: labels.Classes) -> np.ndarray:
        """Return the class of each example, int64 `[N]`."""
        array = self.open(group, "labels")
        parts = [
            classes.of(array[start : start + _ROWS])
            for start in range(0, len(array), _ROWS)
        ]
        return np.concatenate([np.asarray(part, np.int64) for part in parts])

    def images(self, group: str, count: int) -> tuple[np.ndarray, bool]:
        """Return images, and whether their channels are their first dimension.

        Raises:
            UserError: they are none, or not as many as there are labels.
        """
        array = self.open(group, "images")
        is_first = (
            array.ndim == 4
            and array.shape[1] in (1, 3)
            and array.shape[3] not in (1, 3)
        )
        fits = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3))
        there: Mapping[str, str] = self.groups[group]
        is_whole = np.issubdtype(array.dtype, np.integer)
        if not is_whole or not (fits or is_first) or len(array) != count:
            way = ""
            if np.issubdtype(array.dtype, np.floating):
                way = " Save (x * 255).round().astype('uint8') of what is from 0 to 1."
            raise errors.UserError(
                f"{there['images']} in {self._place} is {array.dtype} {array.shape}; "
                f"it must be uint8 [N, H, W] or [N, H, W, 1 or 3], N as in "
                f"{there['labels']} ({count}).{way}"
            )
        if array.dtype != np.uint8:
            _check_bytes(array, f"{there['images']} in {self._place}")
        return array, is_first


def _check_bytes(array: np.ndarray, place: str) -> None:
    """Refuse whole numbers of another type that uint8 does not hold.

    Raises:
        UserError: with the least and the largest of them.
    """
    rows = max(1, _NUMBERS * len(array) // max(1, array.size))
    parts = [array[start : start + rows] for start in range(0, len(array), rows)]
    low = min((int(part.min()) for part in parts if part.size), default=0)
    high = max((int(part.max()) for part in parts if part.size), default=0)
    if low < 0 or high > 255:
        raise errors.UserError(
            f"{place} is {array.dtype}, with numbers from {low} to {high}; pixels must "
            "be from 0 to 255: scale them to that, and save them as uint8."
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
            key = f"{self.split}/{index}"
            image = raw_pixels.as_image(np.array(images[index]), key, "images")
            yield records.Item(image, int(label), key)
