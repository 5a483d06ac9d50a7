"""A part of the training examples as the test split, where a source has none.

An example's key alone decides whether it is held out, with the same share of every
class, so a source that grows keeps nearly all of them where they were.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from sam_pod import errors
from sam_pod.data.sources import split_names
from sam_pod.data.stored import records


def rows(
    keys: Iterable[str], share: float, labels: Sequence[int] | None = None
) -> np.ndarray:
    """Return which examples are held out, int64 and sorted.

    Args:
        keys: The keys of all examples, in their order.
        share: The share of each class, above 0 and below 1. A class of two or more
            examples has at least one held out and one not.
        labels: The label of each; None where they are not known: then all count as one
            class.

    Raises:
        UserError: there are too few examples to hold one out.
    """
    digests = np.array([_digest(key) for key in keys], np.uint64)
    kinds = np.zeros(len(digests), np.int64) if labels is None else np.asarray(labels)
    order = np.lexsort((digests, kinds))
    counts = np.unique(kinds, return_counts=True)[1]
    ends, chosen = np.cumsum(counts), []
    for count, end in zip(counts, ends, strict=True):
        wanted = min(max(round(share * count), 1), count - 1)
        chosen.append(order[end - count : end - count + wanted])
    found = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
    if not len(found):
        raise errors.UserError(
            f"`test_share` is {share:g}, but no class has two examples: one to train "
            "on and one to test on."
        )
    return found


def chosen(
    parts: Mapping[str, records.SourceSplit],
    wish: split_names.Wish,
    place: str,
    labels: Sequence[int] | None = None,
) -> tuple[dict[str, records.SourceSplit], tuple[str, ...]]:
    """Return the splits of a source whose groups all have labels, and what to say.

    Args:
        parts: The groups by their names in the source.
        wish: The user's choice of splits.
        place: The path to name in an error.
        labels: The labels of the training examples, for an equal share of each class.

    Raises:
        UserError: as `split_names.choose` and `rows`.
    """
    choice = split_names.choose(dict.fromkeys(parts, True), wish, place)
    splits = {split: parts[name] for split, name in choice.names.items()}
    splits, said = with_test(splits, choice.test_share, lambda _: labels)
    return splits, choice.decisions + said


def with_test(
    splits: Mapping[str, records.SourceSplit],
    share: float,
    labels: Callable[[records.SourceSplit], Sequence[int] | None],
) -> tuple[dict[str, records.SourceSplit], tuple[str, ...]]:
    """Return splits with a part of 'train' as 'test', and a line that says so.

    Args:
        splits: The splits, without 'test' if that is to be made.
        share: The share that `rows` takes; 0 for the splits as they are, and no line.
        labels: A function from the training split to its labels, for `rows`.

    Raises:
        UserError: as `rows`.
    """
    if not share:
        return dict(splits), ()
    train, test, said = take(splits["train"], share, labels=labels(splits["train"]))
    return {**splits, "train": train, "test": test}, (said,)


def labels_of(part: records.SourceSplit) -> list[int]:
    """Return the labels of a split, for which all of it is read."""
    return [item.label for item in part.read(0, part.num_examples)]


def take(
    part: records.SourceSplit,
    share: float,
    keys: Iterable[str] | None = None,
    labels: Sequence[int] | None = None,
) -> tuple[records.SourceSplit, records.SourceSplit, str]:
    """Return what is left to train on, what is held out, and a line that says so.

    Args:
        part: The training examples.
        share: The share that `rows` takes.
        keys: The keys that `rows` takes; None for 'train/0', 'train/1' and so on.
        labels: The labels that `rows` takes.

    Raises:
        UserError: as `rows`.
    """
    keys = (f"train/{i}" for i in range(part.num_examples)) if keys is None else keys
    test = rows(keys, share, labels)
    train = np.setdiff1d(np.arange(part.num_examples), test, assume_unique=True)
    return (
        subset(part, train),
        subset(part, test),
        line(share, part.num_examples, len(test), labels),
    )


def line(share: float, total: int, count: int, labels: Sequence[int] | None) -> str:
    """Return the line for log and manifest about examples that are held out."""
    how = "of all" if labels is None else "of each class"
    return (
        f"{count:,} of {total:,} training examples are held out as the test split: "
        f"{share:g} {how}, chosen by their names."
    )


def subset(part: records.SourceSplit, rows: np.ndarray) -> records.SourceSplit:
    """Return the split of some rows of another, int64 and sorted."""
    size = round(part.num_bytes * len(rows) / max(1, part.num_examples))
    return records.SourceSplit(len(rows), size, _Rows(part, rows))


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Reads some rows of a split."""

    part: records.SourceSplit
    rows: np.ndarray

    def __call__(self, start: int, stop: int) -> Iterable[records.Item]:
        rows = self.rows[start:stop]
        if not len(rows):
            return ()
        first = int(rows[0])
        items = self.part.read(first, int(rows[-1]) + 1)
        return _Some(items, (rows - first).tolist())


@dataclasses.dataclass(frozen=True)
class _Some:
    """Some of what another yields, which can be sent to another process."""

    items: Iterable[records.Item]
    wanted: list[int]

    def __iter__(self) -> Iterator[records.Item]:
        wanted = iter(self.wanted)
        row = next(wanted, -1)
        for index, item in enumerate(self.items):
            if index == row:
                yield item
                row = next(wanted, -1)


def _digest(key: str) -> int:
    content = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8)
    return int.from_bytes(content.digest(), "little")
