"""A study's page: what it may say, and how it is read.

A page is a Python file with `get_study(variant)`, which returns a `Study`:

    from sam_pod.study import Arm, Study

    def get_study(variant=""):
        return Study(
            title="SAM and its baseline",
            arms=(
                Arm("plain", "../resnet20.py:digits", {"sam.rho": 0.0}),
                Arm("SAM", "../resnet20.py:digits", {"sam.rho": 0.5}),
            ),
        )
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sam_pod import errors
from sam_pod.config import python_file, rules
from sam_pod.process import path_flags

Value = bool | int | float | str
BUDGETS = ("gradients", "epochs")
METRICS = ("accuracy", "loss")
_LONGEST_NAME = 255  # Bytes, in file systems.


@dataclasses.dataclass(frozen=True)
class Arm:
    """One of the things that are compared."""

    name: str
    recipe: str  # FILE[:VARIANT]; the path is seen from the page's folder.
    overrides: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    # The values that are tried, by config key: each with each, on validation alone.
    sweep: Mapping[str, Sequence[Value]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study:
    """What is compared, and how."""

    title: str
    arms: Sequence[Arm]
    seeds: Sequence[int] = (0, 1, 2, 3, 4)  # The same in all arms.
    baseline: str = ""  # The arm that the others are compared with; '' is the first.
    # 'gradients': an arm whose steps cost less trains for more epochs, so that all
    # spend what the most expensive one does; 'epochs': each as its recipe says.
    budget: str = "gradients"
    metric: str = "accuracy"  # By which a sweep is decided, on validation.
    sweep_seeds: Sequence[int] = ()  # Those of the trials; () is the first seed.
    overrides: Mapping[str, Value] = dataclasses.field(default_factory=dict)  # Of all.
    note: str = ""  # Printed below the title.

    @property
    def baseline_name(self) -> str:
        """The name of the arm that the others are compared with."""
        return self.baseline or self.arms[0].name

    @property
    def trial_seeds(self) -> tuple[int, ...]:
        """The seeds with which the values of a sweep are tried."""
        return tuple(self.sweep_seeds) or tuple(self.seeds[:1])


def load(page: str) -> Study:
    """Return the study of the page `FILE[:VARIANT]`, each recipe with its whole path.

    Raises:
        UserError: no such page, a page that fails, or what no study can be.
    """
    path, _, variant = page.partition(":")
    try:
        path = path_flags.expand(path)
    except ValueError as error:
        raise errors.UserError(f"--study={path}: {error}.") from error
    if not os.path.isfile(path) or not path.endswith(".py"):
        raise errors.UserError(
            f"No study at {path!r}; --study takes FILE[:VARIANT], such as "
            "configs/studies/digits_noise.py."
        )
    study = python_file.call(path, "get_study", variant, "page")
    if not isinstance(study, Study):
        raise errors.UserError(
            f"get_study of {path} returns a {type(study).__name__}; it must return a "
            "sam_pod.study.Study."
        )
    check(study, path)
    return dataclasses.replace(
        study, arms=tuple(_located(arm, os.path.dirname(path)) for arm in study.arms)
    )


def _located(arm: Arm, folder: str) -> Arm:
    path, mark, variant = arm.recipe.partition(":")
    whole = os.path.abspath(os.path.join(folder, os.path.expanduser(path)))
    return dataclasses.replace(arm, recipe=whole + mark + variant)


def folder_name(text: str) -> str:
    """Return a text as the name of a folder; others may have the same."""
    return re.sub(r"[^\w.=+-]+", "-", text).strip("-.") or "arm"


def folder_names(texts: Sequence[str]) -> list[str]:
    """Return different texts as names of folders, each with one of its own.

    The first of those with one name has it plainly, as has who is alone with it.
    """
    names: list[str] = []
    for text in texts:
        name = folder_name(text)
        if name in names or len(name.encode()) > _LONGEST_NAME:
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            short = name.encode()[: _LONGEST_NAME - 9].decode(errors="ignore")
            name = f"{short}-{digest}"
        names.append(name)
    return names


def check(study: Study, path: str) -> None:
    """Refuse what no study can be.

    Args:
        study: The study as its page returned it.
        path: The page's path.

    Raises:
        UserError: naming the field, its value and the rule.
    """
    _check_types(path, study)
    names = [arm.name for arm in study.arms]
    for name in names:
        if sum(folder_name(n) == folder_name(name) for n in names) > 1:
            rule = "names that differ, also as names of folders"
            raise _error(path, "arms", name, rule)
    errors.lookup(dict.fromkeys(names), study.baseline_name, "baseline")
    errors.lookup(dict.fromkeys(BUDGETS), study.budget, "budget")
    errors.lookup(dict.fromkeys(METRICS), study.metric, "metric")
    _check_seeds(path, "seeds", study.seeds)
    _check_seeds(path, "sweep_seeds", study.trial_seeds)
    for arm in study.arms:
        for overrides in (study.overrides, arm.overrides):
            _check_keys(path, arm.name, overrides, _check_value)
        _check_keys(path, arm.name, arm.sweep, _check_values)
    counts = {arm.name: num_trials(arm) for arm in study.arms}
    if len(set(counts.values())) > 1:
        rule = (
            "as many trials in each arm: who tries more values wins by chance as well"
        )
        raise _error(path, "sweep", counts, rule)


def num_trials(arm: Arm) -> int:
    """Return how many values, or mixes of them, an arm tries."""
    count = 1
    for values in arm.sweep.values():
        count *= len(values)
    return count


def _check_seeds(path: str, field: str, seeds: Sequence[int]) -> None:
    is_list = isinstance(seeds, list | tuple | range)
    if not (
        is_list
        and seeds
        and all(type(seed) is int and 0 <= seed < rules.SEED_LIMIT for seed in seeds)
        and len(set(seeds)) == len(seeds)
    ):
        rule = (
            f"one whole number from 0 on, below {rules.SEED_LIMIT}, or more, none twice"
        )
        raise _error(path, field, seeds, rule)


def _check_types(path: str, study: Study) -> None:
    """Refuse fields that hold something of another kind."""
    for field in ("title", "baseline", "budget", "metric", "note"):
        _check_is(path, field, getattr(study, field), str, "a text")
    arms = study.arms
    is_list = isinstance(arms, list | tuple)
    if not is_list or not arms or not all(isinstance(arm, Arm) for arm in arms):
        rule = "a list of one Arm(name, recipe) or more"
        raise _error(path, "arms", arms, rule)
    mapping = "a dict of config keys and values, such as {'sam.rho': 0.1}"
    _check_is(path, "overrides", study.overrides, Mapping, mapping)
    for arm in arms:
        where = f"arm {arm.name!r}"
        for field in ("name", "recipe"):
            _check_is(path, f"{field} of {where}", getattr(arm, field), str, "a text")
        for field in ("overrides", "sweep"):
            there = getattr(arm, field)
            _check_is(path, f"{field} of {where}", there, Mapping, mapping)


def _check_is(path: str, field: str, value: Any, kind: type, rule: str) -> None:
    if not isinstance(value, kind):
        raise _error(path, field, value, rule)


def _check_keys(
    path: str,
    arm: str,
    overrides: Mapping[str, Any],
    check_value: Callable[[str, str, str, Any], None],
) -> None:
    if "seed" in overrides:
        raise errors.UserError(
            f"{path}: arm {arm!r} sets `seed`, but all arms have the same seeds, so "
            "that they can be compared in pairs: list them in the study's `seeds`."
        )
    for key, value in overrides.items():
        _check_is(path, f"a key of arm {arm!r}", key, str, "the name of a config key")
        check_value(path, arm, key, value)


def _check_value(path: str, arm: str, key: str, value: Any) -> None:
    if not isinstance(value, Value):
        rule = "one value; several that are tried are a `sweep`"
        raise _error(path, f"{key} of arm {arm!r}", value, rule)


def _check_values(path: str, arm: str, key: str, values: Any) -> None:
    is_list = isinstance(values, list | tuple)
    if (
        not is_list
        or not values
        or not all(isinstance(value, Value) for value in values)
        or len(set(map(str, values))) < len(values)
    ):
        rule = "a list of the values to try, none of them twice"
        raise _error(path, f"{key} in the sweep of arm {arm!r}", values, rule)


def _error(path: str, field: str, value: Any, rule: str) -> errors.UserError:
    shown = " ".join(repr(value).split())[:120]
    return errors.UserError(f"{path}: `{field}` is {shown}; it must be {rule}.")
