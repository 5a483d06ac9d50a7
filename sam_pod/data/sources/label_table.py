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
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)

from sam_pod import errors, wording
from sam_pod.data.sources import (
    image_names,
    split_names,
    table_columns,
    table_lines,
    table_splits,
)

_WHOLE, _FRACTION = re.compile(r"-?\d+(\.0*)?"), re.compile(r"-?\d*\.\d*[1-9]\d*")
_NULLS = frozenset({"nan", "null", "<na>", "#n/a"})  # Tools write these for none.
# So do some tools and people these, which others have for a class.
_DOUBTFUL = frozenset({"na", "n/a", "none", "nil", "-", "?"})


@dataclasses.dataclass(frozen=True)
class TableLabels:
    """The classes and splits that a table gives some images."""

    path: str
    labels: Mapping[int, str]  # The class of each image.
    splits: Mapping[int, str]  # Likewise, where a column says them.
    decision: str  # Which columns were taken, in words.
    faults: Sequence[str]
    bare: Mapping[int, str] = dataclasses.field(default_factory=dict)  # Without label.
    # The images of a split of which none has a label, and the split of each.
    unlabelled: Mapping[int, str] = dataclasses.field(default_factory=dict)
    by: str = ""  # The columns that say the splits.

    def within(self, images: Container[int]) -> "TableLabels | None":
        """Return what it says about some images; None where that is nothing.

        Labels that are all -1 are nothing: competitions label their tests so.
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
        decision = self.decision + "".join(_doubts(labels.values()))
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
            UserError: it is no text, or not what its name says.
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
        self._comments, self.tokens = 0, None  # The words of a text that is no table.
        if text.lstrip().startswith("{"):  # Its path within an archive has another end.
            self.rows = table_lines.of_json(path, text)
            return
        lines, self._comments = table_lines.rows_of(text, table_columns.LABELS)
        self.rows = _rows(lines)
        if not table_lines.delimiters(lines):
            self.tokens = "\n".join(lines).split()

    def look(
        self,
        names: Mapping[int, str],
        columns: table_columns.AskedColumns,
        known: frozenset[str] = frozenset(),
    ) -> TableLabels | None:
        """Return what it says about some images; None where it names none of them.

        Args:
            names: The path of each image.
            columns: The columns that are asked for.
            known: The classes, where they are known: then no other counts.

        Raises:
            UserError: several columns may hold the labels, or an image has two classes.
        """
        images = image_names.Names(names)
        self._divide_by_first_space(images)
        image = table_columns.image(self.path, self.rows, images, columns.image)
        if image is None:
            return None
        has_header = not images.find(self.rows[0][image])
        header = self.rows[0] if has_header else []
        body = self.rows[1:] if has_header else self.rows
        read, said = table_columns.label(
            self.path, body, header, image, columns.label, known
        )
        if read is None:
            return None
        return self._of_rows(images, body, header, image, read=read, said=said)

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

    def _of_rows(
        self,
        images: image_names.Names,
        body: Sequence[Sequence[str]],
        header: Sequence[str],
        image: int,
        *,
        read: Callable[[Sequence[str]], str],
        said: str,
    ) -> TableLabels:
        labels: dict[int, str] = {}
        splits: dict[int, str] = {}
        bare: dict[int, str] = {}
        doubtful: dict[int, str] = {}
        faults: list[str] = []
        split = table_splits.of(header, body, image)
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
            says = f", but {label!r}" if label else ""
            no_class = f"row {number} of {self.path} has no class{says}"
            if not label or label.casefold() in _NULLS:
                bare[found[0]] = no_class
            elif labels.setdefault(found[0], label) != label:
                faults.append(
                    f"row {number} of {self.path} gives {row[image]!r} a second class, "
                    "and images of several classes are not trained here"
                )
            elif label.casefold() in _DOUBTFUL:
                doubtful[found[0]] = no_class
            into = split.read(row) if split.read else ""
            if split.read and splits.setdefault(found[0], into) != into:
                faults.append(
                    f"row {number} of {self.path} puts {row[image]!r} into a second "
                    "split"
                )
        certain = [y for image, y in labels.items() if image not in doubtful]
        if certain and all(map(_WHOLE.fullmatch, certain)):
            bare |= doubtful
            labels = {i: label for i, label in labels.items() if i not in doubtful}
        labels = _whole(labels)
        faults += self._broken(labels.values())
        name = repr(header[image]) if header else str(image + 1)
        rest = f"; {split.note}" if split.note else ""
        rest += _unused(unused)
        if self._comments:
            rest += f"; lines left out that begin with #: {self._comments:,}"
        decision = f"in {said} of {self.path}, by the names in column {name}{rest}"
        by = split.columns
        return TableLabels(self.path, labels, splits, decision, faults, bare, by=by)

    def _broken(self, labels: Iterable[str]) -> list[str]:
        """Return the fault of labels that measure something; [] without one."""
        broken = [label for label in labels if _FRACTION.fullmatch(label)]
        if not broken:
            return []
        one = f"label of {self.path} is a number, {broken[0]}, and no class"
        several = (
            f"labels of {self.path} are numbers such as {broken[0]}, and no classes"
        )
        return [wording.counted(len(broken), one, several)]


def _unused(count: int) -> str:
    if not count:
        return ""
    return f"; {wording.counted(count, 'row names', 'rows name')} no image"


def _whole(labels: dict[int, str]) -> dict[int, str]:
    """Return labels without '.0' where all are whole numbers."""
    if not all(map(_WHOLE.fullmatch, labels.values())):
        return labels
    return {image: label.partition(".")[0] for image, label in labels.items()}


def _doubts(labels: Collection[str]) -> Iterator[str]:
    """Say which classes may stand for none, and of how many images."""
    negative = min(labels, key=_number)
    least = {negative} if _number(negative) < 0 else set()
    for name in sorted(least | {y for y in labels if y.casefold() in _DOUBTFUL}):
        count = sum(label == name for label in labels)
        yield (
            f"; {name} is a class, too, of "
            f"{wording.counted(count, 'image', 'images')}: where it means that there "
            "is no label, leave them out"
        )


def _number(label: str) -> int:
    """Return the value of a class that is a whole number; 0 for another."""
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
