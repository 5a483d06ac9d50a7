"""The binary archives of CIFAR-10 and CIFAR-100.

https://www.cs.toronto.edu/~kriz/cifar.html: files of records, each one or two bytes of
label and 3,072 bytes of pixels, a plane of 32x32 for red, green and blue.
"""

import dataclasses
import tarfile
from collections.abc import Mapping

import numpy as np

from sam_pod import errors
from sam_pod.data.sources import archives, arrays, tars
from sam_pod.data.stored import records

_PIXEL_BYTES = 3 * 32 * 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """What is in an archive."""

    name: str
    kind: str
    url: str
    members: Mapping[str, tuple[str, ...]]  # By the split.
    classes_member: str  # A text with the name of a class a line.
    first_classes: tuple[str, ...]
    num_classes: int
    label_bytes: int  # The label is the last of them.


def read(path: str, layout: Layout, sha256: str) -> records.Source:
    """Return the source in the archive at `path`; its 184 MB are held in memory.

    Raises:
        UserError: another checksum than `sha256`, or no such archive inside.
    """
    check_sha256(path, archives.file_sha256(path), sha256, layout.url)
    members = _read_members(path, layout)
    return records.Source(
        name=layout.name,
        classes=classes_of(path, members[layout.classes_member], layout),
        kind=layout.kind,
        place=path,
        fingerprint=sha256,
        sha256=sha256,
        splits={
            split: split_of(path, split, {n: members[n] for n in names}, layout)
            for split, names in layout.members.items()
        },
    )


def check_sha256(where: str, found: str, expected: str, url: str) -> None:
    """Refuse a file that is not the official one.

    Raises:
        UserError: naming both checksums.
    """
    if found != expected:
        raise errors.UserError(
            f"{where} has SHA-256 {found}; it must be {expected}. It is incomplete or "
            f"another file: wait while it is being fetched, or delete it and fetch "
            f"{url} again."
        )


def _read_members(path: str, layout: Layout) -> dict[str, bytes]:
    """Return the content of the members that are needed, by their paths."""
    needed = {layout.classes_member}.union(*layout.members.values())
    found = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                name = tars.own_path(path, member)
                if name in needed and member.isfile():
                    found[name] = tar.extractfile(member).read()
    except archives.FAULTS as error:
        raise archives.unreadable(path, error) from error
    for name in sorted(needed - found.keys()):
        raise errors.UserError(
            f"{path} lacks {name}; it must be the binary version, {layout.url}."
        )
    return found


def classes_of(path: str, content: bytes, layout: Layout) -> tuple[str, ...]:
    """Return the classes in a text of a name a line.

    Raises:
        UserError: they are others than those of the set.
    """
    classes = tuple(content.decode("utf-8", "replace").split())
    first, count = layout.first_classes, layout.num_classes
    if classes[: len(first)] != first or len(classes) != count:
        raise errors.UserError(
            f"{layout.classes_member} in {path} names the {len(classes)} classes "
            f"{', '.join(classes)[:120]}; they must be {count}: {', '.join(first)}"
            f"{', ...' if len(first) < count else ''}."
        )
    return classes


def split_of(
    path: str, split: str, members: Mapping[str, bytes], layout: Layout
) -> records.SourceSplit:
    """Return a split of the binary records in some files.

    Raises:
        UserError: a file is cut short, or a label is none.
    """
    record_bytes = layout.label_bytes + _PIXEL_BYTES
    parts = []
    for name, content in members.items():
        if not content or len(content) % record_bytes:
            raise errors.UserError(
                f"{name} in {path} has {len(content)} bytes; it must hold records of "
                f"{record_bytes} bytes, each whole."
            )
        rows = np.frombuffer(content, np.uint8).reshape(-1, record_bytes)
        labels = rows[:, layout.label_bytes - 1]
        if labels.max() >= layout.num_classes:
            index = int(np.argmax(labels >= layout.num_classes))
            raise errors.UserError(
                f"Record {index} of {name} in {path} has label {labels[index]}; it "
                f"must be from 0 to {layout.num_classes - 1}."
            )
        parts.append(rows)
    rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
    planes = rows[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
    labels = rows[:, layout.label_bytes - 1]
    return arrays.split(split, planes.transpose(0, 2, 3, 1), labels)
