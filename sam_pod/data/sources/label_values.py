"""Labels as sources have them: which there are, and which of them are none.

A label is a whole number of any type, a truth value, a text, or a row that is 1 in one
place and 0 elsewhere (one-hot).
"""

import collections
import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

Label = int | str

_BLOCK = 1 << 22  # Values of one-hot labels that are looked at together.

# What may be wrong with a label, and the words for it.
_NULL = "null"
_EMPTY = "an empty text"
_NAN = "no number"
_FRACTION = "no whole number"
_SEVERAL = "of several classes at once"
_NONE = "of no class"
_SHARES = "shares of classes"
_OTHER = "neither a number nor a text"
ADVICE = {
    _NULL: "give every example a label, or leave such examples out",
    _EMPTY: "give every example a label, or leave such examples out",
    _NAN: "give every example a label, or leave such examples out",
    _FRACTION: "this trains classifiers, no regression: label examples by class",
    _SEVERAL: "this trains classifiers of one class an image: multi-label data are not "
    "supported",
    _NONE: "give every example a label, or leave such examples out",
    _SHARES: "one class an image must be 1 and all others 0",
    _OTHER: "a label must be a whole number, a text or one-hot",
}


class Bad(Exception):
    """A label that is none; the argument is one of the reasons above."""


@dataclasses.dataclass
class Found:
    """The labels of a split, with how often each occurs."""

    counts: collections.Counter[Label] = dataclasses.field(
        default_factory=collections.Counter
    )
    kinds: set[str] = dataclasses.field(default_factory=set)
    width: int = 0  # The width of one-hot labels.
    # By what is wrong: how many, and one of them.
    faults: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many labels there are, bad ones among them."""
        return self.counts.total() + sum(count for count, _ in self.faults.values())

    @property
    def is_missing(self) -> bool:
        """Whether there is no label: each is null or -1."""
        return self.counts.keys() <= {-1} and self.faults.keys() <= {_NULL}

    @property
    def may_be_labels(self) -> bool:
        """Whether some are labels, and all others merely lack."""
        return bool(self.counts) and self.faults.keys() <= {_NULL, _EMPTY, _NAN}

    def add(
        self, values: np.ndarray | Sequence, counts: Iterable[int] | None = None
    ) -> None:
        """Take in labels, `[N]`, `[N, 1]` or one-hot `[N, K]`, with their counts."""
        for block, times in _blocks(as_array(values), counts):
            kind, found = normal(block)
            self.kinds.add(kind)
            if kind == "text" and any(isinstance(label, int) for label in found):
                self.kinds.add("whole")
            if kind == "one-hot":
                self.width = max(self.width, block.shape[1])
            for label, count in zip(found, times, strict=True):
                if isinstance(label, Bad):
                    self.fault(*label.args, count=count)
                else:
                    self.counts[label] += count

    def fault(self, reason: str, shown: str = "", count: int = 1) -> None:
        """Count labels that are none."""
        before, first = self.faults.get(reason, (0, shown))
        self.faults[reason] = before + count, first

    def nulls(self, count: int) -> None:
        """Count examples without a label."""
        if count:
            self.fault(_NULL, count=count)


def as_array(values: np.ndarray | Sequence) -> np.ndarray:
    """Return labels as one array: of objects where they are of different lengths."""
    if isinstance(values, np.ndarray) or len({np.shape(v) for v in values}) <= 1:
        return np.asarray(values)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _blocks(
    values: np.ndarray, counts: Iterable[int] | None
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Yield labels, the same ones once where that is cheap, and how often each is."""
    if values.ndim > 1 and values.size == len(values):
        values = values.reshape(-1)
    if values.ndim > 1:
        rows = max(1, _BLOCK // max(1, math.prod(values.shape[1:])))
        for start in range(0, len(values), rows):
            part = np.asarray(values[start : start + rows])
            yield part, [1] * len(part)
    elif counts is not None:
        yield values, [int(count) for count in counts]
    elif values.dtype.kind == "O":
        yield values, [1] * len(values)
    else:
        unique, times = np.unique(values, return_counts=True)
        yield unique, times.tolist()


def normal(values: np.ndarray) -> tuple[str, list[Label | Bad]]:
    """Return the kind of labels, and each as a number or a text."""
    if values.ndim > 1 and values.size == len(values):
        values = values.reshape(-1)
    kind = values.dtype.kind
    if values.ndim > 2 or (values.ndim == 2 and kind not in "biuf"):
        return "other", [Bad(_OTHER, f"of shape {values.shape[1:]}")] * len(values)
    if values.ndim == 2:
        return "one-hot", _hot(values)
    if kind == "b":
        return "bool", values.astype(int).tolist()
    if kind in "iu":
        return "whole", values.tolist()
    if kind == "f":
        return "whole", [_whole(value) for value in values.tolist()]
    if kind in "USO":
        found = [_one(value) for value in values.tolist()]
        texts = any(isinstance(label, str) for label in found)
        return "text" if texts else "whole", found
    return "other", [Bad(_OTHER, str(values.dtype))] * len(values)


def _whole(value: float) -> int | Bad:
    if not math.isfinite(value):
        return Bad(_NAN, str(value))
    return int(value) if value == int(value) else Bad(_FRACTION, str(value))


def _one(value: object) -> Label | Bad:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value or Bad(_EMPTY)
    if value is None:
        return Bad(_NULL)
    if isinstance(value, list | np.ndarray):
        if len(value) == 1:
            return _one(value[0])
        return Bad(_SEVERAL, str(value)[:40]) if len(value) else Bad(_NONE)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _whole(float(value))
    return Bad(_OTHER, str(value)[:40])


def _hot(rows: np.ndarray) -> list[Label | Bad]:
    """Return where each row is 1, if it is 0 elsewhere."""
    ones = np.count_nonzero(rows == 1, axis=1)
    others = np.count_nonzero(rows, axis=1) - ones  # NaN counts as well.
    found: list[Label | Bad] = np.argmax(rows == 1, axis=1).tolist()
    for index in np.flatnonzero((ones != 1) | (others != 0)).tolist():
        shown = " ".join(f"{value:g}" for value in rows[index].tolist()[:8])
        if others[index]:
            found[index] = Bad(_SHARES, shown)
        else:
            found[index] = Bad(_SEVERAL, shown) if ones[index] else Bad(_NONE)
    return found
