"""A table that says the class of each image: csv, tsv or a text, with a header or not.

    id,breed                     id_1,3,cat            val_0.JPEG  n03444034  0  32
    000bec1,boston_bull          ...                   ...

One column holds names of images, with folders and an extension or without. Another
holds classes, or there is a column for each class, with 1 for that of the row.
"""

import csv
import dataclasses
import hashlib
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from sam_pod import errors
from sam_pod.data.sources import image_names, split_names, table_lines

# What a column is usually called; the words of a name are joined by nothing.
_LABELS = frozenset(
    {"label", "labels", "class", "classes", "classname", "category", "target", "y"}
    | {"classid", "categoryid", "labelid", "wnid", "predictionstring", "diagnosis"}
)
_SPLITS = frozenset(
    {"split", "splits", "set", "dataset", "subset", "partition", "usage", "phase"}
)
_WHOLE, _FRACTION = re.compile(r"-?\d+(\.0*)?"), re.compile(r"-?\d*\.\d*[1-9]\d*")
_NULLS = frozenset({"nan", "null", "<na>", "#n/a"})  # What tools write for none.
_LOOKED_AT = 200  # Rows, to tell which column is of what.


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns are asked for by name; '' leaves it to what is there."""

    image: str = ""
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Found:
    """What a table says of some images."""

    path: str
    labels: Mapping[int, str]  # By the image.
    splits: Mapping[int, str]  # Likewise, where a column says them.
    decision: str  # Which columns were taken, in words.
    faults: Sequence[str]
    bare: Mapping[int, str] = dataclasses.field(default_factory=dict)  # Without label.
    # The images of a split of which none has a label, and the split of each.
    unlabelled: Mapping[int, str] = dataclasses.field(default_factory=dict)

    def within(self, images: Container[int]) -> "Found | None":
        """Return what it says of some images; None where that is nothing.

        Where each of them is -1 it is nothing: competitions say so of their tests.
        """
        labels = {image: y for image, y in self.labels.items() if image in images}
        if set(labels.values()) <= {"-1"}:
            return None
        unlabelled = self._unlabelled(labels)
        labels = {i: y for i, y in labels.items() if i not in unlabelled}
        bare = [
            fault
            for image, fault in self.bare.items()
            if image in images and image not in unlabelled
        ]
        decision, negative = self.decision, min(labels.values(), key=_number)
        if _number(negative) < 0:
            count = sum(label == negative for label in labels.values())
            decision += (
                f"; {negative} is a class, too, of {count:,} images: where it means "
                "that there is no label, leave them out"
            )
        return dataclasses.replace(
            self,
            labels=labels,
            faults=[*self.faults, *bare],
            decision=decision,
            unlabelled=unlabelled,
        )

    def _unlabelled(self, labels: Mapping[int, str]) -> dict[int, str]:
        """Return the images of splits without a label other than -1, and the splits."""
        splits = self.splits.items()
        labelled = {s for image, s in splits if labels.get(image, "-1") != "-1"}
        bare = {s for s in self.splits.values() if split_names.role(s)} - labelled
        return {image: split for image, split in splits if split in bare}


class Table:
    """The rows of a file."""

    def __init__(self, path: str, content: bytes) -> None:
        """Take the content of a file apart.

        Raises:
            UserError: it is no text, or its rows differ in length.
        """
        self.path = path
        self.sha256 = hashlib.sha256(content).hexdigest()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise errors.UserError(
                f"Cannot read {path} ({error}): a table of labels must be a text in "
                "UTF-8."
            ) from error
        lines, self._comments = table_lines.rows_of(text, _LABELS)
        self.rows = _rows(lines)
        # Of a text that is no table.
        has_marks = bool(table_lines.delimiters(lines))
        self.tokens = None if has_marks else "\n".join(lines).split()

    def look(
        self,
        names: Mapping[int, str],
        columns: Columns,
        known: frozenset[str] = frozenset(),
    ) -> Found | None:
        """Return what it says of some images; None where it does not speak of them.

        Args:
            names: Of each image, its path.
            columns: That are asked for.
            known: The classes, where they are known: then no other counts.

        Raises:
            UserError: which column holds the labels cannot be told, or an image has
                two classes.
        """
        images = image_names.Names(names)
        self._divide_by_first_space(images)
        image = self._image_column(images, columns.image)
        if image is None:
            return None
        has_header = not images.find(self.rows[0][image])
        header = self.rows[0] if has_header else []
        body = self.rows[1:] if has_header else self.rows
        read, said = self._label_column(body, header, image, columns.label, known)
        if read is None:
            return None
        return self._of_rows(images, body, header, image, read, said)

    def _divide_by_first_space(self, images: image_names.Names) -> None:
        """Take rows such as '0056978 Cessna 172' apart behind the image.

        Without marks a row is taken apart before its last word, which is the class
        of 'a picture.png cat'.
        """
        if self.tokens is None:
            return
        divided = [" ".join(row).split(None, 1) for row in self.rows]
        first, last = (
            sum(bool(images.find(row[0])) for row in rows)
            for rows in (divided, self.rows)
        )
        if first > last:
            self.rows = divided

    def _image_column(self, names: image_names.Names, wanted: str) -> int | None:
        header = self.rows[0] if self.rows else []
        if wanted and wanted in header:
            return header.index(wanted)
        found = image_names.columns(self.rows, names, _LABELS | _SPLITS)
        if found and wanted not in ("", "image"):
            raise errors.UserError(
                f"{self.path} has no column {wanted!r}, which --image_column names; "
                f"its columns are {', '.join(header)[:200]}."
            )
        if len(found) > 1:
            several = " and ".join(str(number + 1) for number in sorted(found))
            raise errors.UserError(
                f"Columns {several} of {self.path} both may name the images, and say "
                "different ones: pass --image_column=NAME, or call the right one "
                "'image' in a header."
            )
        return found[0] if found else None

    def _label_column(
        self,
        body: Sequence[Sequence[str]],
        header: Sequence[str],
        image: int,
        wanted: str,
        known: frozenset[str],
    ) -> tuple[Callable[[Sequence[str]], str] | None, str]:
        """Return what takes the class out of a row, and words for it."""
        width = min((len(row) for row in body), default=0)
        others = [column for column in range(width) if column != image]
        if wanted and wanted in header:
            return _taker(header.index(wanted)), f"column {wanted!r}"
        if wanted not in ("", "label") and not known:
            names = ", ".join(header)[:200] or "none with a name"
            raise errors.UserError(
                f"{self.path} has no column {wanted!r}, which --label_column names; "
                f"its columns are {names}."
            )
        usual = [c for c in others if header and _plain(header[c]) in _LABELS]
        if len(usual) != 1:
            taker = _one_hot(body, header, others, "" if known else self.path)
            if taker and (not known or known.issuperset(map(taker, body))):
                return taker, "the column that is 1"
        splits = [c for c in others if header and _plain(header[c]) in _SPLITS]
        fits = usual or [c for c in others if c not in splits]
        if known:  # A table of other things, or without a header.
            fits = [c for c in fits if self._known(body, c, known)]
        return self._only(fits, header, must=not known)

    def _known(
        self, body: Sequence[Sequence[str]], column: int, known: frozenset[str]
    ) -> bool:
        return any(_class(row[column]) in known for row in body[:_LOOKED_AT])

    def _only(
        self, fits: Sequence[int], header: Sequence[str], *, must: bool = True
    ) -> tuple[Callable[[Sequence[str]], str] | None, str]:
        if len(fits) == 1:
            column = fits[0]
            name = repr(header[column]) if header else str(column + 1)
            return _taker(column), f"column {name}"
        if not fits or not must:
            return None, ""
        names = ", ".join(header) if header else f"{len(fits) + 1} without names"
        raise errors.UserError(
            f"Which column of {self.path} holds the classes cannot be told; it has "
            f"{names[:200]}. Pass --label_column=NAME."
        )

    def _of_rows(
        self,
        images: image_names.Names,
        body: Sequence[Sequence[str]],
        header: Sequence[str],
        image: int,
        read: Callable[[Sequence[str]], str],
        said: str,
    ) -> Found:
        labels: dict[int, str] = {}
        splits: dict[int, str] = {}
        bare: dict[int, str] = {}
        faults: list[str] = []
        split = [c for c, name in enumerate(header) if _plain(name) in _SPLITS]
        unused = 0
        for number, row in enumerate(body, 2 if header else 1):
            found = images.find(row[image]) if image < len(row) else []
            if len(found) != 1:
                unused += not found
                if found:
                    faults.append(
                        f"row {number} of {self.path}, {row[image]!r}, may be any of "
                        f"{len(found)} images"
                    )
                continue
            label = read(row)
            if not label or label.casefold() in _NULLS:
                says = f", but {label!r}" if label else ""
                bare[found[0]] = f"row {number} of {self.path} has no class{says}"
            elif labels.setdefault(found[0], label) != label:
                faults.append(
                    f"row {number} of {self.path} gives {row[image]!r} a second class, "
                    "and images of several classes are not trained here"
                )
            if len(split) == 1 and split[0] != image and split[0] < len(row):
                splits[found[0]] = row[split[0]].strip()
        labels = _whole(labels)
        broken = [label for label in labels.values() if _FRACTION.fullmatch(label)]
        if broken:
            faults.append(
                f"{len(broken):,} labels of {self.path} are numbers such as "
                f"{broken[0]}, and no classes"
            )
        name = repr(header[image]) if header else str(image + 1)
        rest = f"; {unused:,} rows name no image" if unused else ""
        if self._comments:
            rest += f"; lines left out that begin with #: {self._comments:,}"
        decision = f"in {said} of {self.path}, by the names in column {name}{rest}"
        return Found(self.path, labels, splits, decision, faults, bare)


def _whole(labels: dict[int, str]) -> dict[int, str]:
    """Return labels without '.0' where all are whole numbers."""
    if not all(map(_WHOLE.fullmatch, labels.values())):
        return labels
    return {image: label.partition(".")[0] for image, label in labels.items()}


def _number(label: str) -> int:
    """Return the value of a class that is a whole number; 0 of another."""
    return int(label) if re.fullmatch(r"-?\d{1,18}", label) else 0


def in_order(labels: Iterable[str]) -> list[str]:
    """Return the classes that occur, sorted: as numbers where all are whole ones."""
    found = set(labels)
    if all(re.fullmatch(r"-?\d+", label) for label in found):
        return sorted(found, key=lambda label: (int(label), label))
    return sorted(found)


def _rows(lines: Sequence[str]) -> list[list[str]]:
    delimiters = table_lines.delimiters(lines)
    if not delimiters:
        return [line.strip().rsplit(None, 1) for line in lines]
    mark = max(delimiters, key=lines[0].count)
    rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    return [[value.strip() for value in row] for row in rows]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _class(value: str) -> str:
    """Return a class; of 'n03995372 85 1 499 272', Kaggle's for a box, the first."""
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
    """Return what takes the class of a row out of a column for each, if it is so.

    Args:
        body: The rows.
        header: Names of the columns.
        others: Columns that may be classes.
        path: To name in an error; '' for no error.

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
