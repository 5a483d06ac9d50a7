"""TFRecord files of others as a source: compressed, with raw pixels, any labels.

The name of a file or of its folder says which split it is of, as with Parquet.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.sources import (
    archives,
    held_out,
    label_values,
    labelled,
    labels,
    numbered_files,
    split_names,
    tfrecord_files,
)
from sam_pod.data.stored import example_fields, framing, offsets, records, untuned

_LABELS = 1 << 12  # Labels in memory at a time.
_LOOK = 64  # Examples that show what a feature holds,
_LOOK_BYTES = 1 << 24  # or less of them.


@dataclasses.dataclass(frozen=True)
class _File:
    name: str  # In the folder of the source.
    path: str  # Where its records lie, unpacked.


@dataclasses.dataclass(frozen=True)
class _Scanned:
    file: _File
    offsets: np.ndarray  # As returned by `offsets.of_scan`.


def read(
    folder: str,
    scratch: str,
    asked: example_fields.Fields,
    wish: split_names.Wish | None = None,
) -> records.Source:
    """Return the source in a folder of TFRecord files.

    Args:
        folder: The folder of the files; those in folders below it count as well.
        scratch: A folder for unpacked files.
        asked: The features to read.
        wish: The user's choice of splits.

    Raises:
        UserError: no such files, one is damaged, or examples are not as they must be.
    """
    found, packed, others = tfrecord_files.find(folder)

    def file(path: str) -> _File:
        plain = tfrecord_files.unpacked(path, scratch) if path in packed else path
        return _File(os.path.relpath(path, folder), plain)

    groups = {group: [file(path) for path in paths] for group, paths in found.items()}
    fields = _fields(folder, groups, asked)
    look = functools.cache(lambda group: _scan(folder, groups[group], fields))
    what = f"Feature {fields.label!r}"
    chosen = labelled.choose(
        labelled.Groups(folder, groups, what, lambda group: look(group)[1]), wish
    )
    splits, held = held_out.with_test(
        {
            split: _split(folder, look(name)[0], fields, chosen.classes)
            for split, name in chosen.names.items()
        },
        chosen.test_share,
        held_out.labels_of,
    )
    (first,) = splits["train"].read(0, 1)
    return records.Source(
        name="tfrecord",
        classes=chosen.classes.names,
        kind="tfrecord",
        place=folder,
        fingerprint=archives.fingerprint(
            path for paths in found.values() for path in paths
        ),
        channels=3 if isinstance(first.image, bytes) else first.image.shape[2],
        splits=splits,
        decisions=(
            *fields.decisions,
            *chosen.decisions,
            *chosen.classes.decisions,
            *numbered_files.missing(
                folder, (path for name in chosen.names.values() for path in found[name])
            ),
            *([f"{others:,} files are no TFRecords, and left out."] if others else []),
            *held,
        ),
    )


def _fields(
    folder: str, groups: dict[str, list[_File]], asked: example_fields.Fields
) -> example_fields.Fields:
    """Return which features are read, by the first examples to train on."""
    roles = split_names.roles(groups)
    group = next((name for name in groups if roles[name] == "train"), min(groups))
    for file in groups[group]:
        path = os.path.join(folder, file.name)
        if few := _first(path, file.path):
            return example_fields.choose(few, f"Example 0 of {path}", asked)
    raise errors.UserError(f"The files of {group!r} in {folder} hold no examples.")


def _first(path: str, unpacked: str) -> list[example_fields.Features]:
    """Return the first examples of a file, which show what its features hold.

    Raises:
        UserError: there is one, and it cannot be read.
    """
    few, num_bytes = [], 0
    dataset = untuned.untuned(tf.data.TFRecordDataset(unpacked).take(_LOOK))
    try:
        for index, serialized in enumerate(dataset.as_numpy_iterator()):
            few.append(_features(serialized, f"Example {index} of {path}"))
            num_bytes += len(serialized)
            if num_bytes >= _LOOK_BYTES:
                break
    except tf.errors.DataLossError as error:
        if not few:  # Else the scan says where.
            raise archives.unreadable(path, error) from error
    return few


def _features(serialized: bytes, where: str) -> example_fields.Features:
    try:
        return tf.train.Example.FromString(serialized).features.feature
    except Exception as error:  # The class is protobuf's own, by its implementation.
        raise errors.UserError(f"{where} is no tf.train.Example.") from error


def _scan(
    folder: str, files: Sequence[_File], fields: example_fields.Fields
) -> tuple[list[_Scanned], label_values.Found]:
    """Return where the records of some files are, and which labels they have."""
    found, scanned, some = label_values.Found(), [], []

    def keep(label: object) -> None:
        if label is None:
            found.nulls(1)
        else:
            some.append(label)
        if len(some) >= _LABELS:
            flush()

    def flush() -> None:
        if some:
            found.add(some)
            some.clear()

    for file in files:
        path = os.path.join(folder, file.name)
        count = 0

        def visit(content: bytes, starts: list[int], path: str = path) -> None:
            nonlocal count
            if not starts:
                return
            with framing.in_memory(content) as dataset:
                try:
                    for serialized in dataset.as_numpy_iterator():
                        features = _features(serialized, f"Example {count} of {path}")
                        keep(example_fields.label(features, fields))
                        count += 1
                except tf.errors.DataLossError as error:
                    raise archives.unreadable(path, error) from error

        scan = framing.scan(file.path, visit)
        if scan.fault:
            raise errors.UserError(
                f"{path} is {scan.fault} at byte {scan.offset} of {scan.num_bytes}: "
                "copy it again from where the data set came from."
            )
        scanned.append(_Scanned(file, offsets.of_scan(scan)))
    flush()
    return scanned, found


def _split(
    folder: str,
    files: Sequence[_Scanned],
    fields: example_fields.Fields,
    classes: labels.Classes,
) -> records.SourceSplit:
    counts = [len(file.offsets) - 1 for file in files]
    read = functools.partial(_read, folder, files, fields, classes)
    size = sum(int(file.offsets[-1]) for file in files)
    return records.SourceSplit(sum(counts), size, read)


def _read(
    folder: str,
    files: Sequence[_Scanned],
    fields: example_fields.Fields,
    classes: labels.Classes,
    start: int,
    stop: int,
) -> "_Rows":
    parts, first = [], 0
    for file in files:
        count = len(file.offsets) - 1
        begin, end = max(start - first, 0), min(stop - first, count)
        if begin < end:
            parts.append((file.file, begin, file.offsets[begin : end + 1]))
        first += count
    return _Rows(folder, tuple(parts), fields, classes)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Some examples: of some files, from a number on, records that start there."""

    folder: str
    parts: tuple[tuple[_File, int, np.ndarray], ...]
    fields: example_fields.Fields
    classes: labels.Classes

    def __iter__(self) -> Iterator[records.Item]:
        for file, first, places in self.parts:
            path = os.path.join(self.folder, file.name)
            try:
                with open(file.path, "rb") as opened:
                    ends = itertools.pairwise(places.tolist())
                    for index, (start, end) in enumerate(ends, first):
                        opened.seek(start + 12)  # Behind the length and its checksum.
                        content = opened.read(end - start - framing.FRAME_BYTES)
                        yield self._item(content, f"{file.name} example {index}")
            except OSError as error:
                raise archives.unreadable(path, error) from error

    def _item(self, serialized: bytes, key: str) -> records.Item:
        where = f"{key} in {self.folder}"
        features = _features(serialized, where)
        image = example_fields.image(features, self.fields, where)
        (label,) = self.classes.of(
            label_values.as_array([example_fields.label(features, self.fields)])
        )
        return records.Item(image, label, key)
