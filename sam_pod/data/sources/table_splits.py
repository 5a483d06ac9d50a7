"""Which columns of a table say the split of an image.

split       train, valid, test
is_valid    True, False; as well is_test and is_train, of 0 and 1
"""

import re
from collections.abc import Callable, Sequence

from sam_pod.data.sources import split_names

NAMES = frozenset(
    {"split", "splits", "set", "dataset", "subset", "partition", "usage", "phase"}
)
_YES = {"1", "1.0", "true", "yes", "t", "y"}
_NO = {"0", "0.0", "false", "no", "f", "n", ""}


def plain(name: str) -> str:
    """Return a column's name in lower case, without what stands between its words."""
    return re.sub(r"[\W_]+", "", name).lower()


def columns(header: Sequence[str]) -> list[int]:
    """Return the columns that say splits, by their names."""
    return [c for c, name in enumerate(header) if plain(name) in NAMES or _marked(name)]


def reader(
    header: Sequence[str], body: Sequence[Sequence[str]], image: int
) -> tuple[Callable[[Sequence[str]], str], str] | None:
    """Return a function that takes the split out of a row, and words for the columns.

    None where no column says it, or several say it by a name.

    Args:
        header: The names of the columns.
        body: The rows.
        image: The column that names the images.
    """
    there = [c for c in columns(header) if c != image]
    named = [c for c in there if not _marked(header[c])]
    if len(named) == 1:
        (column,) = named
        return lambda row: _at(row, column), ""
    marks = {c: _marked(header[c]) for c in there if c not in named}
    values = {_at(row, c).lower() for row in body for c in marks}
    if named or not marks or values - _YES - _NO:
        return None

    def read(row: Sequence[str]) -> str:
        found = {split for c, split in marks.items() if _at(row, c).lower() in _YES}
        left = {"train", "test"} - set(marks.values())
        if not found and len(left) == 1:
            return left.pop()
        return next((s for s in ("test", "validation", "train") if s in found), "train")

    return read, ", ".join(repr(header[c]) for c in marks)


def _marked(name: str) -> str:
    """Return the split that 'is_valid' and the like mark, '' for another name."""
    first, *rest = split_names.words(name) or [""]
    if not rest and first.startswith("is"):
        rest, first = [first[2:]], "is"
    return split_names.role(" ".join(rest)) if first == "is" else ""


def _at(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""
