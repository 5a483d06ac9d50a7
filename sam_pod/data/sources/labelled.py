"""Splits and classes of a source that has named groups with labels to look at."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sam_pod.data.sources import label_values, labels, split_names
from sam_pod.data.stored import records


class Groups(NamedTuple):
    """Named groups of examples, of which some become splits."""

    place: str  # The path to name in an error.
    names: Iterable[str]
    what: str  # The name of the labels there: "Column 'label'".
    # Which labels a group has, None for none; called once a group, where it is needed.
    found: Callable[[str], label_values.Found | None]
    # Whether it has some, where that is known without all of them.
    has_labels: Callable[[str], bool] | None = None


class Chosen(NamedTuple):
    """Which group is which split, and what the labels mean."""

    names: dict[str, str]  # The group of each split, in the order of `records.present`.
    classes: labels.Classes
    test_share: float
    decisions: tuple[str, ...]  # Which say that of the groups alone.


def choose(
    groups: Groups,
    wish: split_names.Wish | None,
    class_names: Sequence[str] = (),
    classes: labels.Classes | None = None,
) -> Chosen:
    """Return which groups are which splits, and the classes of their labels.

    Args:
        groups: The groups of the source.
        wish: The user's choice of splits.
        class_names: The names of the classes, where the source has them.
        classes: The meaning of the labels, where the source says all of it.

    Raises:
        UserError: as `split_names.choose` and `labels.decide`.
    """
    found = functools.cache(groups.found)

    def has_labels(name: str) -> bool:
        there = found(name)
        return there is not None and not there.is_missing

    look = groups.has_labels or has_labels
    choice = split_names.choose(
        {name: functools.partial(look, name) for name in groups.names},
        wish or split_names.Wish(),
        groups.place,
    )
    names = {split: choice.names[split] for split in records.present(choice.names)}
    if classes is None:
        there = {split: found(name) for split, name in names.items()}
        classes = labels.decide(groups.place, groups.what, there, class_names)
    return Chosen(names, classes, choice.test_share, choice.decisions)
