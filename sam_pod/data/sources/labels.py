"""The classes 0 to K - 1 that a source's labels mean.

Numbers from 0 on without gaps, and numbers that index names which the source itself
gives, stay as they are; everything else is numbered in sorted order, by what occurs in
training, and that is said in a line.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from sam_pod import errors, wording
from sam_pod.data.sources import label_values

_SHOWN = 3  # A line names this many labels.


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes, and the class of each label."""

    names: tuple[str, ...]
    decisions: tuple[str, ...] = ()  # What was decided, a line each.
    # Labels that are not the number of their class; None where all are.
    index: Mapping[label_values.Label, int] | None = None

    def of(self, values: np.ndarray | Sequence) -> list[int]:
        """Return the classes of labels as `Found.add` takes them.

        Raises:
            KeyError: a label that was not there when the classes were decided.
        """
        _, found = label_values.normal(np.asarray(values))
        if self.index is not None:
            return [self.index[label] for label in found]
        for label in found:
            if not isinstance(label, int) or not 0 <= label < len(self.names):
                raise KeyError(label)
        return found


def decide(
    place: str,
    what: str,
    splits: Mapping[str, label_values.Found],
    names: Sequence[str] = (),
) -> Classes:
    """Return the classes that the labels of a source mean.

    Args:
        place: The source's path, for an error.
        what: The name of its labels: "Column 'label'".
        splits: The labels of each split; the training split is called 'train'.
        names: The names of the classes, where the source has them.

    Raises:
        UserError: a label that is none, or of a class that training does not have.
    """
    _check(place, what, splits)
    if names:
        return _named(place, what, splits, tuple(names))
    there = splits["train"].counts.keys()
    for split, found in splits.items():
        if unknown := _in_order(found.counts.keys() - there):
            raise errors.UserError(
                f"{what} of {place}: {_listed(unknown)} occurs in {split} "
                f"({_times(found, unknown)}) and not in train, which has "
                f"{_listed(_in_order(there))}: every class needs examples to train on."
            )
    return _by_what_occurs(splits)


def _by_what_occurs(splits: Mapping[str, label_values.Found]) -> Classes:
    """Return the classes that occur among the labels, in order."""
    found = splits["train"]
    kinds = set().union(*(found.kinds for found in splits.values()))
    labels = _in_order(found.counts.keys())
    if kinds == {"one-hot"}:
        width = max(found.width for found in splits.values())
        empty = [str(i) for i in range(width) if i not in found.counts]
        return Classes(
            tuple(map(str, range(width))),
            (f"Labels are one-hot, of {width} classes.", *_without(empty)),
        )
    if kinds == {"bool"}:
        line = "Labels are truth values: false is class 0, true is class 1."
        empty = [("False", "True")[i] for i in range(2) if i not in found.counts]
        return Classes(("False", "True"), (line, *_without(empty)))
    names = tuple(map(str, labels))
    if labels == list(range(len(labels))):
        return Classes(names)
    index = {label: number for number, label in enumerate(labels)}
    last = len(labels) - 1
    are = "is class 0" if not last else f"are classes 0 to {last}, in this order"
    line = f"{'Label' if not last else 'Labels'} {_listed(labels)} {are}."
    if isinstance(labels[0], int) and labels[0] < 0:
        count = sum(n for label, n in found.counts.items() if label == labels[0])
        examples = wording.counted(count, "example", "examples")
        line += (
            f" {labels[0]} is a class, too, of {examples} of train: where it "
            "means that there is no label, leave them out."
        )
    return Classes(names, (line,), index)


def _named(
    place: str,
    what: str,
    splits: Mapping[str, label_values.Found],
    names: tuple[str, ...],
) -> Classes:
    """Return the classes that the source names."""
    is_text = any("text" in found.kinds for found in splits.values())
    index = {name: number for number, name in enumerate(names)} if is_text else None
    known = index or range(len(names))
    for split, found in splits.items():
        unknown = _in_order(label for label in found.counts if label not in known)
        if unknown:
            rule = (
                f"it must be one of {_listed(list(names))}"
                if is_text
                else f"with {len(names)} classes it must be from 0 to {len(names) - 1}"
            )
            raise errors.UserError(
                f"{what} of {place}: {split} has label {_listed(unknown)} "
                f"({_times(found, unknown)}); {rule}."
            )
    there = splits["train"].counts.keys()
    empty = [
        name
        for number, name in enumerate(names)
        if (name if is_text else number) not in there
    ]
    return Classes(names, tuple(_without(empty)), index)


def _without(names: Sequence[str]) -> Iterator[str]:
    if names:
        some = "Class" if len(names) == 1 else "Classes"
        have = "has" if len(names) == 1 else "have"
        yield f"{some} {_listed(list(names))} {have} no examples of train."


def _check(place: str, what: str, splits: Mapping[str, label_values.Found]) -> None:
    """Refuse labels that are none, naming how many there are of each kind."""
    lines, advice = [], []
    for split, found in splits.items():
        for reason, (count, shown) in found.faults.items():
            such = f" (such as {shown})" if shown else ""
            lines.append(
                f"{count:,} of {found.total:,} labels of {split} are {reason}{such}"
            )
            advice.append(label_values.ADVICE[reason])
    if lines:
        advice = "; ".join(dict.fromkeys(advice))
        raise errors.UserError(f"{what} of {place}: {', '.join(lines)}; {advice}.")
    kinds = set().union(*(found.kinds for found in splits.values()))
    for kind in ("text", "one-hot"):
        if kind in kinds and len(kinds) > 1:
            raise errors.UserError(
                f"{what} of {place} holds labels of different kinds "
                f"({', '.join(sorted(kinds))}); all must be of one."
            )
    widths = {found.width for found in splits.values() if found.width}
    if len(widths) > 1:
        raise errors.UserError(
            f"{what} of {place} is one-hot of {' and '.join(map(str, sorted(widths)))} "
            "classes; every split must have the same."
        )


def _in_order(labels: Iterable[label_values.Label]) -> list[label_values.Label]:
    """Sort labels; texts that are numbers by their value."""
    labels = list(labels)
    numbers = all(re.fullmatch(r"-?[0-9]{1,18}", str(label)) for label in labels)
    if numbers:
        return sorted(labels, key=lambda label: (int(label), str(label)))
    return sorted(labels)


def _listed(labels: Sequence[label_values.Label]) -> str:
    """Return some labels in words: '1 to 3', '3, 7, 9', "'a', 'b' and 5 others"."""
    if len(labels) > 2 and isinstance(labels[0], int):
        is_range = labels[-1] - labels[0] == len(labels) - 1
        if is_range:
            return f"{labels[0]} to {labels[-1]}"
    shown = [repr(label)[:60] for label in labels]
    if len(shown) > _SHOWN + 1:
        more = len(shown) - _SHOWN
        return f"{', '.join(shown[:_SHOWN])} and {more:,} others"
    return ", ".join(shown)


def _times(found: label_values.Found, labels: Iterable[label_values.Label]) -> str:
    count = sum(found.counts[label] for label in labels)
    return f"{count:,} of {found.total:,} examples"
