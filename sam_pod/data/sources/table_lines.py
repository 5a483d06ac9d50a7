"""The lines of a text that is a table: which are rows, and what separates values."""

import json
import re
from collections.abc import Sequence
from typing import Any

from sam_pod import errors

_MARKS = "\t,;|"


def plain_title(title: str) -> str:
    """Return a column's title in lower case, without what stands between its words."""
    return re.sub(r"[\W_]+", "", title).lower()


def delimiters(lines: Sequence[str]) -> list[str]:
    """Return the marks that separate the first line's values; none where spaces do."""
    return [mark for mark in _MARKS if lines and mark in lines[0]]


def rows_of(text: str, titles: frozenset[str]) -> tuple[list[str], int]:
    """Return the lines of a table, and how many comments were left out of it.

    A comment begins with #. A row may, too ('#1.png,cat'), and so may the titles of
    the columns ('# file,label'), whose # is taken off.

    Args:
        text: The file's text.
        titles: Possible names of columns, their words joined by nothing.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    plain = [line for line in lines if not line.startswith("#")]
    marks = delimiters(plain)
    mark = max(marks, key=plain[0].count) if marks else ""
    kept, comments = [], 0
    for line in lines:
        if not line.startswith("#") or not plain:
            kept.append(line)
            continue
        inner = line.lstrip("# \t")
        is_long = bool(mark) and line.count(mark) == plain[0].count(mark)
        called = set(map(plain_title, inner.split(mark or None)))
        if is_long and not kept and called & titles:
            kept.append(inner)
        elif is_long and not line[1:2].isspace():
            kept.append(line)
        else:
            comments += 1
    return kept, comments


def of_json(path: str, text: str) -> list[list[str]]:
    """Return the rows of a text with a JSON object in each line, below their keys.

    Raises:
        UserError: a line holds something else.
    """
    objects = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            found = json.loads(line) if line.strip() else {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise errors.UserError(
                f"Line {number} of {path} is no JSON object, such as "
                '{"file_name": "1.png", "label": "cat"}.'
            )
        objects += [found] if found else []
    header = list(dict.fromkeys(key for each in objects for key in each))
    return [header, *([_text(each.get(key)) for key in header] for each in objects)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else json.dumps(value)
