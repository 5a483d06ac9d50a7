"""Which stored group of examples is which split, for every source.

A source finds groups (folders, files, or what a library calls a split), each under its
own name; `choose` says which of them is trained on, validated on and tested on:

    choice = split_names.choose(
        {"train": True, "val": True, "test": lambda: has_labels("test")}, wish, place
    )
    choice.names       {'train': 'train', 'test': 'val'}
    choice.decisions   lines about it for the log and the manifest

Where `choice.test_share` is above 0, `held_out.py` takes 'test' out of 'train'.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping

from sam_pod import errors

WORDS = {
    "train": ("train", "training", "trn", "trainset", "traindata"),
    "validation": ("validation", "val", "valid", "valset", "validate", "dev"),
    "test": ("test", "testing", "tst", "testset", "testdata", "eval", "evaluation"),
}
# A name may have these beside its word: 'train_images', 'Test-Set', 'val2017'.
_FILLERS = frozenset(
    {"set", "split", "data", "dataset", "image", "images", "img", "imgs"}
    | {"picture", "pictures", "photo", "photos", "pics", "file", "files", "folder"}
    | {"label", "labels", "annotation", "annotations"}
)
_FLAGS = "--train_split, --test_split and --validation_split"
_SHARE = ", or hold a part of what is trained on out as test with --test_share=0.1"

# Whether the examples of a group have labels, or a function that looks.
Labelled = bool | Callable[[], bool]


class NoChoice(errors.UserError):
    """No group can be a split, for want of labels perhaps."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """The choice in the flags of `prepare`; '' and 0 leave it to what is there."""

    train: str = ""
    validation: str = ""  # 'none' leaves it out.
    test: str = ""
    test_share: float = 0.0  # The share of the training examples held out as the test.


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which group is which split."""

    names: Mapping[str, str]  # The group of 'train', 'validation' and 'test'.
    decisions: tuple[str, ...]
    test_share: float = 0.0  # Above 0 there is no group of test.


_ROLES = {word: split for split, usual in WORDS.items() for word in usual}
_KINDS = dict.fromkeys(("x", "images", "image", "data"), "images") | dict.fromkeys(
    ("y", "labels", "label", "targets", "target"), "labels"
)


def words(name: str) -> list[str]:
    """Return the words of a name in lower case; 'trainLabels2' has train and labels."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+", name)
    return [part.lower() for part in parts]


def role(name: str) -> str:
    """Return the split that a name means by itself: '' where it means none.

    Case, numbers and words such as 'set' and 'images' make no difference.
    """
    parts = words(name)
    found = [word for word in parts if word in _ROLES]
    fits = len(found) == 1 and all(w in _ROLES or w in _FILLERS for w in parts)
    return _ROLES[found[0]] if fits else ""


def mentioned(name: str) -> str:
    """Return the one split that a name mentions among other words; '' if none.

    'LOC_val_solution' and 'val_annotations' mention the validation split.
    """
    found = {_ROLES[word] for word in words(name) if word in _ROLES}
    return found.pop() if len(found) == 1 else ""


def roles(names: Iterable[str]) -> dict[str, str]:
    """Return which split each of some names that stand together means.

    Beside what each means by itself, names that differ by the word of the split alone
    mean it: 'seg_train' beside 'seg_test'.

    Args:
        names: The names of folders, files or splits in one place.
    """
    names = list(names)
    alone = {name: role(name) for name in names}
    if "train" in alone.values():
        return alone
    by_rest: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        parts = words(name)
        found = [word for word in parts if word in _ROLES]
        if len(found) == 1:
            rest = tuple(word for word in parts if word not in _ROLES)
            by_rest.setdefault(rest, {})[name] = _ROLES[found[0]]
    for group in by_rest.values():
        if "train" in group.values() and len(set(group.values())) > 1:
            return alone | group
    return alone


def group_of_file(path: str) -> str:
    """Return the name of the group that a file is of, by its own name or its folder's.

    'train-00000-of-00002.parquet', 'a/train/0000.parquet' and 'train.csv' are of
    'train'; '' where neither says a split.
    """
    folder, name = os.path.split(path)
    name = re.sub(r"[-_.]?\d+([-_]of[-_]\d+)?$", "", name.split(".")[0])
    for found in (name, os.path.basename(folder)):
        if role(found):
            return found
    return ""


def array(name: str) -> tuple[str, str]:
    """Return the split and the kind, 'images' or 'labels', that an array's name means.

    'x_train', 'trainX', 'train_images' and 'X_val' are images; 'y_test' and
    'test_labels' are labels; ('', '') for what is neither.
    """
    parts = words(name)
    kinds = [_KINDS[word] for word in parts if word in _KINDS]
    found = [_ROLES[word] for word in parts if word in _ROLES]
    if len(parts) == 2 and len(kinds) == len(found) == 1:
        return found[0], kinds[0]
    return "", ""


def choose(found: Mapping[str, Labelled], wish: Wish, place: str) -> Choice:
    """Return which group is which split.

    'train' and 'test' are always there (or a share of 'train' to hold out as 'test');
    'validation' is where there is a labelled one beside them. A test without labels is
    left out, and a labelled validation is the test then.

    Args:
        found: Whether each group has labels, by its name; asked only of groups that may
            be chosen.
        wish: The user's choice.
        place: The path to name in an error.

    Raises:
        UserError: no split to train on or to test on, several that may be it, or a
            wish that cannot be met; it names what is there, and the flags.
    """
    return _Chooser(found, wish, place).choice()


class _Chooser:
    def __init__(self, found: Mapping[str, Labelled], wish: Wish, place: str) -> None:
        self._found, self._wish, self._place = found, wish, place
        self._roles = roles(found)
        self._decisions: list[str] = []
        self._names: dict[str, str] = {}
        self._known: dict[str, bool] = {}

    def choice(self) -> Choice:
        self._check_share()
        wish, names = self._wish, self._names
        names["train"] = self._wanted("train") or self._train()
        if not names["train"]:
            raise self._error("has no split to train on")
        if not self._has_labels(names["train"]):
            raise self._error(f"has no labels for {names['train']!r}, to train on")
        if wish.validation not in ("", "none"):
            names["validation"] = self._wanted("validation")
        if wish.test:
            names["test"] = self._wanted("test")
        elif wish.test_share:
            self._check_no_test()
        else:
            names["test"] = self._test()
        if not wish.validation and (other := self._only("validation", "validation")):
            names["validation"] = other
        for name in ("validation", "test"):
            if name in names and not self._has_labels(names[name]):
                raise self._error(f"has no labels for {names[name]!r}, as {name}")
        self._say()
        return Choice(dict(names), tuple(self._decisions), wish.test_share)

    def _check_share(self) -> None:
        share = self._wish.test_share
        if not 0 <= share < 1:
            raise errors.UserError(
                f"`test_share` is {share:g}; it must be from 0 up to, but not, 1."
            )
        if share and self._wish.test:
            raise errors.UserError(
                f"`test_share` is {share:g} and `test_split` {self._wish.test!r}: give "
                "one of them."
            )

    def _wanted(self, split: str) -> str:
        """Return the group that a flag names, '' where there is no flag."""
        name = getattr(self._wish, split)
        if not name:
            return ""
        if name not in self._found:
            same = [n for n in self._found if n.casefold() == name.casefold()]
            if len(same) != 1:
                raise self._error(f"has no split {name!r}, which --{split}_split names")
            name = same[0]
        if name in self._names.values():
            raise self._error(
                f"would have {name!r} as two splits, and an example is of one alone"
            )
        return name

    def _train(self) -> str:
        if len(self._found) == 1:  # There is nothing else, whatever it is called.
            name = next(iter(self._found))
            return name if self._roles[name] in ("", "train") else ""
        return self._only("train", "train")

    def _only(self, split: str, meaning: str) -> str:
        """Return the one labelled group with a meaning, '' where there is none.

        Args:
            split: The split that it will be.
            meaning: The meaning of its name, as returned by `roles`.
        """
        used = self._names.values()
        there = [n for n, m in self._roles.items() if m == meaning and n not in used]
        if split != "train":
            there = [name for name in there if self._has_labels(name)]
        if len(there) > 1:
            listing = " and ".join(map(repr, there))
            raise self._error(f"has {listing}, and each may be the split {split}")
        return there[0] if there else ""

    def _has_labels(self, name: str) -> bool:
        if name not in self._known:
            labelled = self._found[name]
            self._known[name] = labelled() if callable(labelled) else labelled
        return self._known[name]

    def _check_no_test(self) -> None:
        if name := self._only("test", "test"):
            raise errors.UserError(
                f"{self._place} has the labelled {name!r} as test, and --test_share "
                f"asks for another: omit it, or let --validation_split be {name!r}."
            )

    def _test(self) -> str:
        if name := self._only("test", "test"):
            return name
        name = self._only("test", "validation")
        if not name:
            raise self._error("has no split with labels to test on")
        self._decisions.append(
            f"{name!r} is the test split: there is no other with labels."
        )
        return name

    def _say(self) -> None:
        names = self._names
        for split, name in names.items():
            usual = self._roles[name] == split and role(name) == split
            told = any(text.startswith(f"{name!r} ") for text in self._decisions)
            if not usual and not told:
                self._decisions.append(f"{name!r} is the split {split}.")
        if "validation" in names:
            self._decisions.append(
                f"{names['validation']!r} is stored as validation; a run with "
                "--config.data.validation=split uses it, others hold theirs out of "
                "training."
            )
        for name in self._found:
            if name not in names.values():
                bare = self._known.get(name) is False
                why = ": it has no labels" if bare else ""
                self._decisions.append(f"{name!r} is left out{why}.")

    def _error(self, fault: str) -> errors.UserError:
        there = ", ".join(map(repr, self._found))[:300] or "none"
        is_asked = self._wish.test or self._wish.test_share
        return NoChoice(
            f"{self._place} {fault}; its splits are {there}. Say which is which with "
            f"{_FLAGS}{'' if is_asked else _SHARE}."
        )
