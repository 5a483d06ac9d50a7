"""Which image a table means by a value, and which of its columns names images."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

from sam_pod.data.sources import split_names, table_lines

# Usual names of such a column; the words of a name are joined by nothing.
_USUAL = frozenset(
    {"image", "images", "imageid", "imagename", "imagepath", "img", "imgname", "id"}
    | {"file", "filename", "filepath", "files", "path", "name", "picture", "photo"}
)
_COUNTS = frozenset({"", "index", "unnamed", "row", "rownumber", "no"})
_LOOKED_AT = 200  # Rows that show what the columns hold.


class Names:
    """Finds an image by its name in a table."""

    def __init__(self, names: Mapping[int, str]) -> None:
        """Take the path of each image by its number."""
        self._paths = names
        self._by_name: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        for image, path in names.items():
            name = path.rpartition("/")[2]
            self._by_name.setdefault(name, []).append(image)
            self._by_stem.setdefault(name.rpartition(".")[0], []).append(image)

    def find(self, value: str) -> list[int]:
        """Return which images a value may name."""
        value = _normal(value)
        folders, _, name = value.rpartition("/")
        found = self._by_name.get(name) or self._by_stem.get(name, [])
        if len(found) > 1:  # The folders show which.
            inner = [i for i in found if _is_below(value, self._paths[i])]
            # Or the table names folders that lie around those of the images.
            outer = [i for i in found if _is_below(self._paths[i], value)]
            longest = max((self._paths[i].count("/") for i in outer), default=0)
            found = inner or [i for i in outer if self._paths[i].count("/") == longest]
        said = _splits(folders)
        if not said:
            return found
        # One of a split is none of another, even if it alone is called so.
        return [
            image
            for image in found
            if said & (_splits(self._paths[image].rpartition("/")[0]) or said)
        ]

    def is_whole(self, value: str) -> bool:
        """Return whether a value is the whole name of an image, not its stem alone."""
        return _normal(value).rpartition("/")[2] in self._by_name


@dataclasses.dataclass(frozen=True)
class _Column:
    """How well a column names images; the better one compares higher."""

    usual: tuple[bool, int]  # Whether it names whole files, and how it is called.
    distinct: int  # Images that it names.
    hits: int
    number: int

    @property
    def score(self) -> tuple[tuple[bool, int], int, int, int]:
        return self.usual, self.distinct, self.hits, -self.number

    def may_be(self, best: "_Column") -> bool:
        """Return whether it names images as well as another column does."""
        is_unique = self.distinct >= 0.9 * self.hits  # Classes occur again and again.
        return (
            self.usual == best.usual
            and is_unique
            and self.distinct >= 0.5 * best.distinct
        )


def titled(header: Sequence[str]) -> int | None:
    """Return the first column with a usual title of names, None where there is none."""
    plain = [table_lines.plain_title(title) for title in header]
    return next((i for i, title in enumerate(plain) if title in _USUAL), None)


def columns(rows: Sequence[Sequence[str]], names: Names, no: frozenset) -> list[int]:
    """Return the columns that name images: the one that does it best, or several.

    There are several if they name different images equally well.

    Args:
        rows: The table's rows, with the header, if it has one.
        names: The names of the images.
        no: Names that no such column has.
    """
    if not rows:
        return []
    some, header = rows[: _LOOKED_AT + 1], rows[0]
    found = [
        column
        for number in range(len(header))
        if (column := _column(some, names, number, no)).hits
    ]
    if not found:
        return []
    best = max(found, key=lambda column: column.score)
    meant = _meant(some, names, best.number)
    return [best.number] + [
        column.number
        for column in found
        if column is not best
        and column.may_be(best)
        and _meant(some, names, column.number) != meant
    ]


def _column(
    rows: Sequence[Sequence[str]], names: Names, number: int, no: frozenset
) -> _Column:
    values = [row[number] for row in rows if number < len(row)]
    hits = [value for value in values if names.find(value)]
    title = table_lines.plain_title(rows[0][number])
    has_header = rows[0][number] not in hits
    title = re.sub(r"\d+$", "", title) if has_header else "x"
    called = -2 if title in no else -1 if title in _COUNTS else int(title in _USUAL)
    return _Column(
        (sum(map(names.is_whole, hits)) * 2 > len(hits), called),
        len(set(hits)),
        len(hits),
        number,
    )


def _meant(rows: Sequence[Sequence[str]], names: Names, number: int) -> list[list[int]]:
    return [names.find(row[number]) if number < len(row) else [] for row in rows]


def _is_below(inner: str, outer: str) -> bool:
    """Return whether a path ends in another one; extensions may be left out."""
    ends = {f"/{inner}", f"/{inner.rpartition('.')[0] or inner}"}
    outer = f"/{outer}"
    return outer.endswith(tuple(ends)) or outer.rpartition(".")[0].endswith(f"/{inner}")


def _normal(value: str) -> str:
    return value.strip().replace("\\", "/").removeprefix("./").strip("/")


@functools.lru_cache(maxsize=4096)
def _splits(folders: str) -> frozenset[str]:
    """Return the splits that the folders of a path are called by."""
    return frozenset(map(split_names.role, folders.split("/"))) - {""}
