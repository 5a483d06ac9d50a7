"""Parquet files as the Hugging Face hub has them.

A column of images (encoded, in a struct or plain; paths; or lists of pixels) and one of
labels; the names of the classes may be in the metadata of the file. Its name
(train-00000-of-00002.parquet) or folder (train/0000.parquet) says which split a file
is.
"""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sam_pod import errors, wording
from sam_pod.data.sources import (
    archives,
    extras,
    held_out,
    labelled,
    labels,
    numbered_files,
    parquet_columns,
    parquet_labels,
    parquet_rows,
    split_names,
    table_splits,
)
from sam_pod.data.stored import records

if TYPE_CHECKING:
    import pyarrow.parquet


LOCK = "parquet.lock"


def read(
    folder: str,
    image: str = parquet_columns.IMAGE,
    label: str = parquet_columns.LABEL,
    wish: split_names.Wish | None = None,
) -> records.Source:
    """Return the source in a folder of Parquet files.

    Args:
        folder: The folder of the files; those in folders below it count as well.
        image: The name of the column of images.
        label: The name of the column of labels.
        wish: The user's choice of splits.

    Raises:
        UserError: no pyarrow, no such files, or columns that are not as they must be.
    """
    extras.load("pyarrow.parquet", LOCK)
    groups = _find(folder)
    first, columns = _columns(groups, parquet_columns.Columns(image, label))
    chosen = labelled.choose(
        labelled.Groups(
            folder,
            groups,
            f"Column {columns.label!r}",
            lambda group: parquet_labels.found(groups[group], columns.label),
        ),
        wish,
        _class_names(first, columns.label),
    )
    classes = chosen.classes
    paths = {split: groups[name] for split, name in chosen.names.items()}
    _check_names(itertools.chain(*paths.values()), columns.label)
    splits, held = held_out.with_test(
        {
            split: _split(folder, some, columns, classes)
            for split, some in paths.items()
        },
        chosen.test_share,
        lambda _: parquet_labels.classes_of(paths["train"], columns.label, classes),
    )
    return records.Source(
        name="parquet",
        classes=classes.names,
        kind="parquet",
        place=folder,
        fingerprint=archives.fingerprint(itertools.chain(*paths.values())),
        channels=_channels(splits["train"]),
        splits=splits,
        decisions=(
            *columns.decisions,
            *chosen.decisions,
            *(_unread(first, columns) if chosen.test_share else ()),
            *numbered_files.missing(folder, itertools.chain(*paths.values())),
            *(line for some in paths.values() for line in _spread(folder, some)),
            *classes.decisions,
            *held,
        ),
    )


def _find(folder: str) -> dict[str, list[str]]:
    """Return the paths of the files by the group in their names."""
    if not os.path.isdir(folder):
        raise errors.UserError(
            f"`source` is {folder!r}; for parquet it must be a folder of files such as "
            "train-00000-of-00001.parquet and test-00000-of-00001.parquet."
        )
    paths = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.endswith(".parquet") and name[0] not in "._"
    )
    if not paths:
        raise errors.UserError(
            f"{folder} has no Parquet file; there must be some such as "
            "train-00000-of-00001.parquet and test-00000-of-00001.parquet."
        )
    found: dict[str, list[str]] = {}
    for path in paths:
        below = os.path.relpath(path, folder)
        group = split_names.group_of_file(below) or numbered_files.stem(below)
        found.setdefault(group, []).append(path)
    return found


def _columns(
    groups: Mapping[str, Sequence[str]], asked: parquet_columns.Columns
) -> tuple["pyarrow.Schema", parquet_columns.Columns]:
    """Return the schema of a file to train on, and its columns."""
    roles = split_names.roles(groups)
    first = next((name for name in groups if roles[name] == "train"), min(groups))
    path = groups[first][0]
    with parquet_labels.opened(path) as file:
        schema = file.schema_arrow
        texts = [field.name for field in schema if "string" in str(field.type)]
        rows = next(file.iter_batches(1, columns=texts), None) if texts else None
    row = rows.to_pylist()[0] if rows is not None and len(rows) else {}
    look = functools.partial(parquet_labels.hold_labels, path)
    return schema, parquet_columns.choose(schema, row, path, asked, look)


def _class_names(schema: "pyarrow.Schema", label: str) -> tuple[str, ...]:
    """Return the names of the classes in the metadata, nothing without them."""
    names = parquet_columns.fields(schema).get(label, {}).get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _unread(
    schema: "pyarrow.Schema", columns: parquet_columns.Columns
) -> Iterator[str]:
    """Yield a line for each column that may say splits, which files say here."""
    for index in table_splits.columns(schema.names):
        if (name := schema.names[index]) not in columns.names:
            yield (
                f"Column {name!r} is not read: where it says which rows are the test, "
                "write them to a file of their own, such as test.parquet."
            )


def _check_names(paths: Iterable[str], label: str) -> None:
    """Refuse files whose integers mean other classes than those of the first."""
    named: dict[str, tuple[str, ...]] = {}
    for path in paths:
        with parquet_labels.opened(path) as file:
            if names := _class_names(file.schema_arrow, label):
                named[path] = names
    if len(set(named.values())) < 2:
        return
    (first, names), *rest = named.items()
    other, others = next(each for each in rest if each[1] != names)
    raise errors.UserError(
        f"Column {label!r} names its classes {wording.some(names)} in {first} and "
        f"{wording.some(others)} in {other}, so that its numbers mean others there: "
        "cast both to one ClassLabel (`cast_column` of datasets), or write the names "
        "as texts."
    )


def _spread(folder: str, paths: Sequence[str]) -> Iterator[str]:
    """Yield a line where files of one split lie in several folders."""
    parents = sorted({os.path.relpath(os.path.dirname(path), folder) for path in paths})
    if len(parents) > 1:
        group = split_names.group_of_file(os.path.relpath(paths[0], folder))
        yield (
            f"The files of {group!r} lie in {len(parents)} folders "
            f"({', '.join(parents)[:120]}): all of them are taken."
        )


def _split(
    folder: str,
    paths: Sequence[str],
    columns: parquet_columns.Columns,
    classes: labels.Classes,
) -> records.SourceSplit:
    found = tuple(parquet_rows.look(folder, path, columns) for path in paths)
    return records.SourceSplit(
        sum(file.num_rows for file in found),
        sum(file.num_bytes for file in found),
        functools.partial(parquet_rows.Rows, folder, found, columns, classes),
    )


def _channels(train: records.SourceSplit) -> int:
    """Return the channels of images that come as pixels; others have three."""
    for item in train.read(0, train.num_examples):
        if not item.fault:
            return 3 if isinstance(item.image, bytes) else item.image.shape[2]
    return 3
