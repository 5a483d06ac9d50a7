"""CIFAR-10 and CIFAR-100 in any of their three versions, packed or not.

https://www.cs.toronto.edu/~kriz/cifar.html: for Python (pickles), for Matlab (.mat) and
as binary records, each an archive of one folder. Its files show which one it is.
"""

import dataclasses
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.io

from sam_pod import errors
from sam_pod.data.sources import (
    archives,
    arrays,
    cifar,
    held_out,
    pickled,
    split_names,
    tars,
)
from sam_pod.data.stored import records

_MOST_BYTES = 1 << 28  # In a file that is read whole.


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Version:
    """The names of a version's files, and how they are read."""

    kind: str
    parts: Mapping[str, tuple[str, ...]]  # By the split.
    meta: str
    load: Callable[[bytes], Any] | None  # Returns a dict; None for binary records.


def _load_mat(content: bytes) -> dict[str, Any]:
    return scipy.io.loadmat(io.BytesIO(content))


def _load_pickle(content: bytes) -> dict[str, Any]:
    found = pickled.load(content)
    return {k.decode() if isinstance(k, bytes) else k: v for k, v in found.items()}


def _versions(layout: cifar.Layout) -> Iterator[_Version]:
    bare = {
        split: tuple(os.path.basename(name) for name in names)
        for split, names in layout.members.items()
    }
    meta = os.path.basename(layout.classes_member)
    yield _Version(kind=layout.kind, parts=bare, meta=meta, load=None)
    short = "batches.meta" if layout.num_classes == 10 else "meta"
    for kind, suffix, load in (
        ("python", "", _load_pickle),
        ("matlab", ".mat", _load_mat),
    ):
        yield _Version(
            kind=layout.kind.replace("binary", kind),
            parts={
                split: tuple(name.replace(".bin", suffix) for name in names)
                for split, names in bare.items()
            },
            meta=short + suffix,
            load=load,
        )


def looks_like(path: str, layout: cifar.Layout) -> bool:
    """Return whether a folder holds files of such a set."""
    return os.path.isdir(path) and any(
        version.meta in _files(path) for version in _versions(layout)
    )


def read(
    path: str, layout: cifar.Layout, wish: split_names.Wish | None = None
) -> records.Source:
    """Return the source in an archive or a folder; its 184 MB are held in memory.

    Args:
        path: The path of the archive, of the folder in it, or of one around that.
        layout: The set's layout.
        wish: The user's choice of splits.

    Raises:
        UserError: files are missing, or not as they must be.
    """
    contents = _contents(path, layout)
    there = [v for v in _versions(layout) if v.meta in contents]
    if len(there) != 1:
        found = " and ".join(v.kind for v in there) or "none of its three versions"
        raise errors.UserError(
            f"{path} holds {found} of {layout.name}; it must be one of them: the "
            f"archive, or its folder as it was unpacked. See {layout.url}."
        )
    (version,) = there
    needed = {name for names in version.parts.values() for name in names}
    if missing := sorted(needed - contents.keys()):
        raise errors.UserError(f"{path} lacks {', '.join(missing)}; fetch it again.")
    if version.load is None:
        return _binary(path, layout, version, contents, wish)
    parts, labels = {}, {}
    for split, names in version.parts.items():
        found = [_part(path, name, contents[name], version, layout) for name in names]
        images = np.concatenate([images for images, _ in found])
        labels[split] = np.concatenate([numbers for _, numbers in found])
        planes = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        parts[split] = arrays.split(split, planes, labels[split])
    return _source(
        path,
        layout,
        version,
        parts,
        classes=_names(path, contents[version.meta], version, layout),
        labels=labels["train"],
        wish=wish,
    )


def _source(
    path: str,
    layout: cifar.Layout,
    version: _Version,
    parts: Mapping[str, records.SourceSplit],
    *,
    classes: tuple[str, ...],
    labels: np.ndarray | None,
    wish: split_names.Wish | None,
) -> records.Source:
    decisions = [f"{path} is taken for {version.kind}."]
    sizes = tuple(parts[split].num_examples for split in ("train", "test"))
    if sizes != (50_000, 10_000):
        decisions.append(
            f"It has {sizes[0]:,} + {sizes[1]:,} images, not the 50,000 + 10,000 that "
            "were published."
        )
    splits, lines = held_out.chosen(parts, wish or split_names.Wish(), path, labels)
    is_file = os.path.isfile(path)
    return records.Source(
        name=layout.name,
        classes=classes,
        kind=version.kind,
        place=path,
        fingerprint=archives.fingerprint([path] if is_file else _files(path).values()),
        sha256=archives.file_sha256(path) if is_file else "",
        splits=splits,
        decisions=(*decisions, *lines),
    )


def _binary(
    path: str,
    layout: cifar.Layout,
    version: _Version,
    contents: Mapping[str, bytes],
    wish: split_names.Wish | None,
) -> records.Source:
    parts = {
        split: cifar.split_of(path, split, {n: contents[n] for n in names}, layout)
        for split, names in version.parts.items()
    }
    classes = cifar.classes_of(path, contents[version.meta], layout)
    return _source(
        path, layout, version, parts, classes=classes, labels=None, wish=wish
    )


def _files(folder: str) -> dict[str, str]:
    """Return the paths of files in a folder and those in it, by their names."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        if parent != folder:
            folders.clear()
        for name in sorted(names):
            found.setdefault(name, os.path.join(parent, name))
    return found


def _contents(path: str, layout: cifar.Layout) -> dict[str, bytes]:
    """Return the contents of the files that may be needed, by their names."""
    wanted = set()
    for version in _versions(layout):
        wanted |= {version.meta}.union(*version.parts.values())
    found: dict[str, bytes] = {}
    try:
        if os.path.isdir(path):
            for name, file in _files(path).items():
                if name in wanted:
                    with open(file, "rb") as handle:
                        found[name] = handle.read(_MOST_BYTES)
            return found
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                name = os.path.basename(tars.own_path(path, member))
                if name in wanted and member.isfile():
                    found[name] = tar.extractfile(member).read()
    except archives.FAULTS as error:
        raise archives.unreadable(path, error) from error
    return found


def _loaded(path: str, name: str, content: bytes, version: _Version) -> dict[str, Any]:
    try:
        return version.load(content)
    except Exception as error:  # Whatever a file that is broken makes of it.
        raise archives.unreadable(f"{name} in {path}", error) from error


def _part(
    path: str, name: str, content: bytes, version: _Version, layout: cifar.Layout
) -> tuple[np.ndarray, np.ndarray]:
    found = _loaded(path, name, content, version)
    key = "labels" if layout.num_classes == 10 else "fine_labels"
    images = np.asarray(found.get("data"))
    labels = np.asarray(found.get(key, ())).ravel()
    fits = images.dtype == np.uint8 and images.shape == (len(labels), 3 * 32 * 32)
    if not fits or not len(labels) or labels.dtype.kind not in "iu":
        raise errors.UserError(
            f"{name} in {path} has data of {images.dtype} {images.shape} and "
            f"{len(labels)} {key}; it must be uint8 [N, 3072], and N whole numbers."
        )
    if labels.min() < 0 or labels.max() >= layout.num_classes:
        raise errors.UserError(
            f"{name} in {path} has labels from {labels.min()} to {labels.max()}; they "
            f"must be from 0 to {layout.num_classes - 1}."
        )
    return images, labels.astype(np.int64)


def _names(
    path: str, content: bytes, version: _Version, layout: cifar.Layout
) -> tuple[str, ...]:
    found = _loaded(path, version.meta, content, version)
    key = "label_names" if layout.num_classes == 10 else "fine_label_names"
    names = [
        value.decode() if isinstance(value, bytes) else str(value)
        for value in _texts(found.get(key, ()))
    ]
    return cifar.classes_of(path, "\n".join(names).encode(), layout)


def _texts(values: Any) -> Iterator[Any]:
    """Yield the texts in nested lists, as Matlab's cells are."""
    for value in values:
        if isinstance(value, np.ndarray | list) and not isinstance(value, str):
            yield from _texts(value)
        else:
            yield value
