"""Which columns of a table hold the names of images, their classes and splits."""

import dataclasses
from collections.abc import Callable, Sequence

from sam_pod import errors
from sam_pod.data.sources import image_names, table_lines, table_splits

# Usual names of columns; the words of a name are joined by nothing.
LABELS = frozenset(
    {"label", "labels", "class", "classes", "classname", "category", "target", "y"}
    | {"classid", "categoryid", "labelid", "wnid", "predictionstring", "diagnosis"}
)
_LOOKED_AT = 200  # Rows that show what the columns hold.


@dataclasses.dataclass(frozen=True)
class AskedColumns:
    """Which columns are asked for by name; '' leaves it to what is there."""

    image: str = ""
    label: str = ""


def image(
    path: str, rows: Sequence[Sequence[str]], names: image_names.Names, wanted: str
) -> int | None:
    """Return the column that names the images; None where none does.

    Args:
        path: The table's path, to name in an error.
        rows: The table's rows.
        names: The names of the images.
        wanted: The value of --image_column.

    Raises:
        UserError: there is no such column, or several may be it.
    """
    header = rows[0] if rows else []
    if wanted and wanted in header:
        return header.index(wanted)
    found = image_names.columns(rows, names, LABELS | table_splits.NAMES)
    if found and wanted not in ("", "image"):
        raise errors.UserError(
            f"{path} has no column {wanted!r}, which --image_column names; "
            f"its columns are {', '.join(header)[:200]}."
        )
    if len(found) > 1:
        several = " and ".join(str(number + 1) for number in sorted(found))
        raise errors.UserError(
            f"Columns {several} of {path} both may name the images, and say "
            "different ones: pass --image_column=NAME, or call the right one "
            "'image' in a header."
        )
    return found[0] if found else None


def label(
    path: str,
    body: Sequence[Sequence[str]],
    header: Sequence[str],
    image: int,
    wanted: str,
    known: frozenset[str],
) -> tuple[Callable[[Sequence[str]], str] | None, str]:
    """Return a function that takes the class out of a row, and words for it.

    Args:
        path: The table's path, to name in an error.
        body: The table's rows without the header.
        header: The names of its columns, empty where it has none.
        image: The column that names the images.
        wanted: The value of --label_column.
        known: The classes, where they are known: then a table without them says
            nothing.

    Raises:
        UserError: there is no such column, or it is not clear which.
    """
    width = min((len(row) for row in body), default=0)
    splits = table_splits.columns(header)
    others = [column for column in range(width) if column != image]
    if wanted and wanted in header:
        return _taker(header.index(wanted)), f"column {wanted!r}"
    if wanted not in ("", "label") and not known:
        names = ", ".join(header)[:200] or "none with a name"
        raise errors.UserError(
            f"{path} has no column {wanted!r}, which --label_column names; "
            f"its columns are {names}."
        )
    usual = [
        c for c in others if header and table_lines.plain_title(header[c]) in LABELS
    ]
    if len(usual) != 1:
        marks = [column for column in others if column not in splits]
        taker = _one_hot(body, header, marks, "" if known else path)
        if taker and (not known or known.issuperset(map(taker, body))):
            return taker, "the column that is 1"
    fits = usual or [c for c in others if c not in splits]
    if known:  # A table of other things, or without a header.
        fits = [c for c in fits if _has_known(body, c, known)]
    return _only(path, fits, header, must=not known)


def _has_known(
    body: Sequence[Sequence[str]], column: int, known: frozenset[str]
) -> bool:
    return any(_class(row[column]) in known for row in body[:_LOOKED_AT])


def _only(
    path: str, fits: Sequence[int], header: Sequence[str], *, must: bool = True
) -> tuple[Callable[[Sequence[str]], str] | None, str]:
    if len(fits) == 1:
        column = fits[0]
        name = repr(header[column]) if header else str(column + 1)
        return _taker(column), f"column {name}"
    if not fits or not must:
        return None, ""
    names = ", ".join(header) if header else f"{len(fits) + 1} without names"
    raise errors.UserError(
        f"Which column of {path} holds the classes cannot be told; it has "
        f"{names[:200]}. Pass --label_column=NAME."
    )


def _class(value: str) -> str:
    """Return a class; the first word of Kaggle's 'n03995372 85 1 499 272', a box."""
    value = value.strip()
    first, *rest = value.split()[:5] or [""]
    is_box = len(rest) == 4 and all(part.isdecimal() for part in rest)
    return first if is_box else value


def _taker(column: int) -> Callable[[Sequence[str]], str]:
    return lambda row: _class(row[column]) if column < len(row) else ""


def _one_hot(
    body: Sequence[Sequence[str]],
    header: Sequence[str],
    others: Sequence[int],
    path: str,
) -> Callable[[Sequence[str]], str] | None:
    """Return a function that takes a row's class out of one-hot columns, or None.

    Args:
        body: The rows.
        header: The names of the columns.
        others: The columns that may be classes.
        path: The path to name in an error; '' for no error.

    Raises:
        UserError: rows have several classes.
    """
    if not header or len(others) < 2:
        return None
    marks = [[row[column] for column in others] for row in body]
    if not all(value in ("0", "1", "0.0", "1.0") for row in marks for value in row):
        return None
    sums = [sum(float(value) for value in row) for row in marks]
    several = sum(total != 1 for total in sums)
    if several and not path:
        return None
    if several:
        raise errors.UserError(
            f"{several:,} rows of {path} have not one class but several or none; only "
            "images of one class each are trained here. Where the classes are in one "
            "column, pass --label_column=NAME."
        )
    return lambda row: next(header[c] for c in others if float(row[c]) == 1)
