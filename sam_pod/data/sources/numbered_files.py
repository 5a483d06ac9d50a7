"""Files that are numbered as parts of a whole, such as train-00000-of-00003."""

import collections
import os
import re
from collections.abc import Iterable

_LAST = re.compile(r"[-_.]?\d+([-_]of[-_]\d+)?$")
_NUMBER = re.compile(r"(\d+)[-_]of[-_](\d+)")


def stem(path: str) -> str:
    """Return the name of a file without numbers, or that of its folder."""
    parent, name = os.path.split(path)
    return _LAST.sub("", name.split(".")[0]) or os.path.basename(parent) or name


def missing(folder: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Return a line for each set of numbered files of which some are not there.

    Args:
        folder: The folder by which they are named.
        paths: The files, in it or below it.
    """
    found: dict[tuple[str, int], set[int]] = collections.defaultdict(set)
    for path in paths:
        path = os.path.relpath(path, folder)
        match = _NUMBER.search(path)
        if match:
            # What stands behind may be a digest of each file's own.
            found[path[: match.start()], int(match[2])].add(int(match[1]))
    return tuple(
        f"Of the {total:,} files {name}…-of-{total:05} only {len(there):,} are there; "
        f"the first that is missing has number {_first(there, total):,}: the set may "
        "be incomplete."
        for (name, total), there in found.items()
        if len(there) < total
    )


def _first(there: set[int], total: int) -> int:
    start = int(total in there and 0 not in there)  # Some count from one.
    return next(i for i in range(start, total + start) if i not in there)
