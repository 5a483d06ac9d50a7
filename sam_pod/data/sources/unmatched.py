"""What a table of labels names instead of images, where it names none of them."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from sam_pod.data.sources import image_names, label_table

NO_TABLE = "it must have their names in one column and their classes in another"
_SHOWN = 3


def line(path: str, content: bytes, names: Mapping[int, str], wanted: str) -> str:
    """Return a sentence on a table that names no image; '' where it names one.

    Args:
        path: The table's path.
        content: The table's content.
        names: The path of each image.
        wanted: The value of --image_column.

    Raises:
        UserError: the table cannot be read.
    """
    rows = label_table.Table(path, content).rows
    images = image_names.Names(names)
    header = rows[0] if rows else []
    others = image_names.columns(rows, images, frozenset())
    is_asked = wanted in header
    if others and not is_asked:
        return ""
    column = header.index(wanted) if is_asked else image_names.titled(header)
    start = int(is_asked or column is not None)
    values = [row[column or 0] for row in rows[start:] if len(row) > (column or 0)]
    if not values or any(map(images.find, values)):
        return ""
    shown = list(dict.fromkeys(values))
    few = ", ".join(repr(value[:40]) for value in shown[:_SHOWN])
    more = " …" if len(shown) > _SHOWN else ""
    return (
        f"{path} names {few}{more}, and none is an image such as "
        f"{min(names.values())}: {_remedy(shown, names.values(), header, others)}."
    )


def _remedy(
    values: Sequence[str],
    paths: Iterable[str],
    header: Sequence[str],
    others: Sequence[int],
) -> str:
    """Return what makes a table name the images.

    Args:
        values: What it has instead of their names.
        paths: The paths of the images.
        header: The titles of its columns.
        others: Columns that do name images.
    """
    if others:
        return f"its column {header[others[0]]!r} does, for --image_column"
    if len(header) == 1:
        return NO_TABLE
    files = [os.path.basename(path) for path in paths]
    known = {*files, *(os.path.splitext(file)[0] for file in files)}
    given = set(map(os.path.basename, values))
    cause = next((why for why, key in _CAUSES if _share(given, known, key)), "")
    return f"{cause}write the names there as the files have them"


def _share(one: Iterable[str], other: Iterable[str], key: Callable[[str], str]) -> bool:
    return not set(map(key, one)).isdisjoint(map(key, other))


# Why a name is not found, and what makes such names equal.
_CAUSES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("the folders it names are others, so ", str),
    ("zeros at the front are lost in it, so ", lambda name: name.lstrip("0")),
    ("it has other capitals, so ", str.casefold),
)
