"""MNIST and sets in its files: IDX, packed with gzip or not.

http://yann.lecun.com/exdb/mnist, https://github.com/zalandoresearch/fashion-mnist,
https://github.com/rois-codh/kmnist, https://www.nist.gov/itl/iad (EMNIST)

The files are called train-images-idx3-ubyte or train-images.idx3-ubyte, t10k or test,
and lie in the folder or in folders of it. Those of EMNIST have a name before, such as
emnist-letters-, and their images lie on their side.
"""

import gzip
import os
import re
import shlex
from collections.abc import Sequence

import numpy as np

from sam_pod import errors
from sam_pod.data.sources import archives, arrays, held_out, split_names
from sam_pod.data.stored import records

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
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}

_FILE = re.compile(
    r"(?P<set>.*-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]"
    r"idx[13]-ubyte(\.gz)?",
    re.IGNORECASE,
)
_AXES = {"images": 3, "labels": 1}
_DEEPEST = 3  # Folders below the one that is given.
_UNSIGNED_BYTE = 8


def read(
    name: str, folder: str, wish: split_names.Wish | None = None
) -> records.Source:
    """Return the source in the folder with the four files.

    Args:
        name: One of CLASSES, or 'emnist'.
        folder: The folder with train-images-idx3-ubyte.gz and the like; for EMNIST
            perhaps with the name of one of its sets, such as gzip/emnist-letters.
        wish: The user's choice of splits.

    Raises:
        UserError: a file is missing, or not as it must be.
    """
    wish = wish or split_names.Wish()
    paths, decisions = _paths(name, folder, wish)
    images = {split: _array(pair["images"], 3) for split, pair in paths.items()}
    labels = {split: _array(pair["labels"], 1) for split, pair in paths.items()}
    for split, pair in paths.items():
        if len(images[split]) != len(labels[split]):
            raise errors.UserError(
                f"{pair['images']} has {len(images[split])} images, but "
                f"{pair['labels']} {len(labels[split])} labels; there must be as many."
            )
    if name == "emnist":
        classes, labels, said = _emnist(paths, labels)
        images = {split: each.transpose(0, 2, 1) for split, each in images.items()}
        decisions += said
    else:
        classes = CLASSES[name]
    for split, numbers in labels.items():
        if numbers.max() >= len(classes):
            raise errors.UserError(
                f"{paths[split]['labels']} has the label {numbers.max()}; it must be "
                f"from 0 to {len(classes) - 1}."
            )
    parts = {
        split: arrays.split(split, images[split][..., np.newaxis], labels[split])
        for split in paths
    }
    splits, lines = held_out.chosen(parts, wish, folder, labels["train"])
    return records.Source(
        name=name,
        classes=classes,
        kind="idx",
        place=folder,
        fingerprint=archives.fingerprint(
            path for pair in paths.values() for path in pair.values()
        ),
        channels=1,
        splits=splits,
        decisions=(*decisions, *lines),
    )


def _paths(
    name: str, folder: str, wish: split_names.Wish
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the files by split and kind, and what was decided about them.

    Raises:
        UserError: one is missing, or there are several sets.
    """
    wanted = ""
    if not os.path.isdir(folder):
        folder, wanted = os.path.split(folder.rstrip("/-"))
    sets: dict[str, dict[tuple[str, str], list[str]]] = {}
    for path in _files(folder):
        found = _FILE.fullmatch(os.path.basename(path))
        if found and (found["set"] or "").startswith(wanted):
            split = "train" if found["split"].lower() == "train" else "test"
            files = sets.setdefault(found["set"] or "", {})
            files.setdefault((split, found["kind"].lower()), []).append(path)
    if len(sets) > 1 and "" in sets and name != "emnist":
        sets = {"": sets[""]}
    if len(sets) > 1:
        names = ", ".join(sorted(each.rstrip("-") for each in sets))
        last = os.path.join(folder, sorted(sets)[-1].rstrip("-"))
        raise errors.UserError(
            f"{folder} holds several sets ({names}): say which, such as "
            f"{shlex.quote(f'--source={last}')}."
        )
    (prefix, files) = next(iter(sets.items())) if sets else ("", {})
    if prefix.startswith("emnist-") and name != "emnist":
        raise errors.UserError(
            f"{folder} holds the files of {prefix.rstrip('-')}, whose images lie on "
            "their side: pass --dataset=emnist."
        )
    splits = ["train"] if wish.test_share else ["train", "test"]
    decisions, paths = [], {}
    for split in splits:
        paths[split] = {}
        for kind, axes in _AXES.items():
            there = files.get((split, kind), [])
            if not there:
                short = "train" if split == "train" else "t10k"
                raise errors.UserError(
                    f"{folder} lacks {prefix}{short}-{kind}-idx{axes}-ubyte.gz; it "
                    "must be a folder with the four files of the data set, packed or "
                    "not."
                )
            paths[split][kind] = there[0]
            if len(there) > 1:
                decisions.append(f"{there[0]} is read, and {', '.join(there[1:])} not.")
    return paths, decisions


def _files(folder: str) -> list[str]:
    """Return the paths of the files in a folder, those of inner folders last."""
    found = []
    for parent, folders, names in os.walk(folder):
        depth = os.path.relpath(parent, folder).count("/") + (parent != folder)
        if depth >= _DEEPEST:
            folders.clear()
        folders.sort()
        found += [
            (depth, not n.endswith(".gz"), os.path.join(parent, n)) for n in names
        ]
    return [path for *_, path in sorted(found)]


def _emnist(
    paths: dict[str, dict[str, str]], labels: dict[str, np.ndarray]
) -> tuple[tuple[str, ...], dict[str, np.ndarray], list[str]]:
    """Return the classes of a set of EMNIST, labels from 0 on, and what to say."""
    file = paths["train"]["images"]
    stem = os.path.basename(file).lower().partition("-train")[0]
    mapping = _mapping(os.path.join(os.path.dirname(file), f"{stem}-mapping.txt"))
    used = sorted(set(np.unique(np.concatenate(list(labels.values()))).tolist()))
    if stem.endswith("letters"):
        mapping = {label: chr(ord("A") + label - 1) for label in range(1, 27)}
    said = [f"{file} is taken for {stem}: its images are turned upright."]
    if not mapping:
        mapping = {label: str(label) for label in range(used[-1] + 1)}
    if unknown := [label for label in used if label not in mapping]:
        raise errors.UserError(
            f"{paths['train']['labels']} has labels {unknown[:5]}, which {stem} lacks."
        )
    number = {label: index for index, label in enumerate(sorted(mapping))}
    if min(mapping):
        said.append(f"Its labels {min(mapping)} to {max(mapping)} are classes 0 on.")
    table = np.zeros(256, np.uint8)
    for label, index in number.items():
        table[label] = index
    classes = tuple(mapping[label] for label in sorted(mapping))
    return classes, {split: table[each] for split, each in labels.items()}, said


def _mapping(path: str) -> dict[int, str]:
    """Return the letters of labels from a text of the set; {} without one."""
    try:
        with open(path, encoding="ascii") as file:
            rows: Sequence[list[str]] = [line.split() for line in file if line.strip()]
        return {int(label): chr(int(code)) for label, code, *_ in rows}
    except (OSError, ValueError):
        return {}


def _array(path: str, num_axes: int) -> np.ndarray:
    """Return the array in an IDX file: zeros, type, axes, their sizes, the bytes."""
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
            "fetch it again."
        )
    if not shape.all():
        raise errors.UserError(f"{path} holds nothing; fetch it again.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
