"""Which columns of a table say the split of an image.

split       train, valid, test
is_valid    True, False; as well is_test and is_train, of 0 and 1
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sam_pod.data.sources import split_names, table_lines

NAMES = frozenset(
    {"split", "splits", "set", "dataset", "subset", "partition", "usage", "phase"}
)
_YES = {"1", "1.0", "true", "yes", "t", "y"}
_NO = {"0", "0.0", "false", "no", "f", "n", "", "nan", "none", "null", "na", "<na>"}


class Splits(NamedTuple):
    """How a table says the split of a row."""

    read: Callable[[Sequence[str]], str] | None  # None where no column says it.
    columns: str = ""  # Those that say it, in words.
    note: str = ""  # What is not read, in words.


def columns(header: Sequence[str]) -> list[int]:
    """Return the columns that say splits, by their names."""
    return [
        c
        for c, name in enumerate(header)
        if table_lines.plain_title(name) in NAMES or _marked(name)
    ]


def of(header: Sequence[str], body: Sequence[Sequence[str]], image: int) -> Splits:
    """Return how a table says the split of a row.

    Args:
        header: The names of the columns.
        body: The rows.
        image: The column that names the images.
    """
    there = [c for c in columns(header) if c != image]
    named = [c for c in there if not _marked(header[c])]
    marks = {c: _marked(header[c]) for c in there if c not in named}
    if len(named) > 1:
        said = [c for c in named if all(map(split_names.role, _values(body, c)))]
        if len(said) != 1:
            return Splits(None, "", _unread(header, there, "each may say the split"))
        named = said
    if named:
        others = [c for c in there if c not in named]
        note = _unread(header, others, f"{header[named[0]]!r} is") if others else ""
        (column,) = named
        return Splits(lambda row: _at(row, column), repr(header[column]), note)
    values = {value.lower() for c in marks for value in _values(body, c)}
    if odd := values - _YES - _NO:
        note = _unread(header, there, f"{min(odd)!r} is neither true nor false")
        return Splits(None, "", note)
    if not marks:
        return Splits(None)
    return Splits(functools.partial(_marks_of, marks), _names(header, marks))


def _marks_of(marks: Mapping[int, str], row: Sequence[str]) -> str:
    found = {split for c, split in marks.items() if _at(row, c).lower() in _YES}
    if found:
        return " and ".join(sorted(found))  # Several are none that is known.
    left = [s for s in ("train", "test") if s not in marks.values()]
    return left[0] if left else ""


def _values(body: Sequence[Sequence[str]], column: int) -> set[str]:
    return {value for row in body if (value := _at(row, column))}


def _names(header: Sequence[str], some: Iterable[int]) -> str:
    return ", ".join(repr(header[c]) for c in some)


def _unread(header: Sequence[str], some: Sequence[int], why: str) -> str:
    verb = "is" if len(some) == 1 else "are"
    return f"{_names(header, some)} {verb} not read for splits: {why}"


def _marked(name: str) -> str:
    """Return the split that 'is_valid' and the like mark, '' for another name."""
    first, *rest = split_names.words(name) or [""]
    if not rest and first.startswith("is"):
        rest, first = [first[2:]], "is"
    return split_names.role(" ".join(rest)) if first == "is" else ""


def _at(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""
