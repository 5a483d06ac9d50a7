"""Classes and splits in MATLAB files, as some sets are published, read as tables.

cars_annos.mat                   Stanford Cars: file, class and split of each image
cars_{train,test}_annos….mat     Stanford Cars: file and class, names in cars_meta.mat
imagelabels.mat  setid.mat       Oxford Flowers 102: classes by the number of an
                                 image, and the numbers of each split
train_list.mat  test_list.mat    Stanford Dogs: paths below the folders of classes
"""

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.io

SUFFIX = ".mat"
_LARGEST = 1 << 28  # Bytes of a file; the published ones are far smaller.
_FILES, _SPLITS = ("relative_im_path", "fname"), ("trnid", "valid", "tstid")
_REAL = "iuf"  # NumPy's kinds of numbers.
_HEADER = ("file", "label", "split")

Content = dict[str, Any]
Read = Callable[[], bytes]


class Table(NamedTuple):
    """A table of images, as a csv with a header."""

    path: str  # The file that has the labels.
    content: bytes


def find(files: Mapping[str, tuple[int, Read]], images: Iterable[str]) -> list[Table]:
    """Return the tables of images in MATLAB files; none from other content.

    Args:
        files: The size of each file and a function that reads it, by its path.
        images: The paths of all images, which have the numbers of Oxford Flowers.
    """
    contents = {path: _loaded(*file) for path, file in sorted(files.items())}
    names = next(
        (c["class_names"] for c in contents.values() if "class_names" in c), ()
    )
    classes = [str(name) for name in np.atleast_1d(names)]
    found = [
        Table(path, _csv(rows))
        for path, content in contents.items()
        if (rows := list(_annotated(content, classes)))
    ]
    labels = [p for p, c in contents.items() if _is_vector(c.get("labels"))]
    sets = [p for p, c in contents.items() if all(k in c for k in _SPLITS)]
    if len(labels) == len(sets) == 1:
        (first,), (second,) = labels, sets
        rows = _numbered(contents[first]["labels"], contents[second], images)
        if rows:
            found.append(Table(first, _csv(rows)))
    return found


def paths(content: bytes) -> list[str]:
    """Return the paths that a list of a split has; none where it is no such list."""
    listed = _loaded(len(content), lambda: content).get("file_list", ())
    return [str(path) for path in np.atleast_1d(listed)]


def _loaded(size: int, read: Read) -> Content:
    """Return the variables of a MATLAB file; none of one that cannot be read."""
    if not 0 < size < _LARGEST:
        return {}
    try:
        return scipy.io.loadmat(io.BytesIO(read()), squeeze_me=True)
    except Exception:  # A broken file, or another format, can raise anything.
        return {}


def _annotated(content: Content, classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield file, class and split of each entry of Cars' annotations."""
    entries = content.get("annotations")
    fields = getattr(getattr(entries, "dtype", None), "names", None) or ()
    file = next((field for field in _FILES if field in fields), "")
    if not file or "class" not in fields:
        return
    for entry in np.atleast_1d(entries):
        number = int(entry["class"])
        label = classes[number - 1] if 0 < number <= len(classes) else str(number)
        split = ("train", "test")[int(entry["test"])] if "test" in fields else ""
        yield str(entry[file]), label, split


def _numbered(
    labels: np.ndarray, content: Content, images: Iterable[str]
) -> list[tuple[str, ...]]:
    """Return path, class and split of each image by the number in its name."""
    splits = {
        int(number): split
        for key, split in zip(_SPLITS, ("train", "validation", "test"), strict=True)
        for number in np.atleast_1d(content[key])
    }
    rows = []
    for path in images:
        digits = re.findall(r"\d+", os.path.splitext(os.path.basename(path))[0])
        number = int(digits[-1]) if digits else 0
        if number in splits and number <= len(labels):
            rows.append((path, str(int(labels[number - 1])), splits[number]))
    return rows


def _is_vector(value: Any) -> bool:
    return (
        isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf"
    )


def _csv(rows: Sequence[tuple[str, ...]]) -> bytes:
    """Return rows as a csv; without a column of splits where no row has one."""
    width = 3 if any(row[2] for row in rows) else 2
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_HEADER[:width])
    writer.writerows(row[:width] for row in rows)
    return text.getvalue().encode()
