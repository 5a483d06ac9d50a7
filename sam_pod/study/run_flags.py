"""The flags that a study passes on to every run: config keys, and words beside them."""

from collections.abc import Sequence
from typing import NamedTuple

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.study import plan

_KEY = "--config."


class Flags(NamedTuple):
    """What goes to every run."""

    # By config key, as text: laid over the recipes and the study's overrides.
    overrides: dict[str, str]
    words: tuple[str, ...]  # Other arguments of the trainer, such as --tpu=local.


def split(more: Sequence[str]) -> Flags:
    """Return the arguments that all runs get, apart as keys and words."""
    overrides: dict[str, str] = {}
    words = []
    for word in more:
        key, value = _setting(word)
        if key:
            overrides[key] = value
        else:
            words.append(word)
    return Flags(overrides, tuple(words))


def _setting(word: str) -> tuple[str, str]:
    """Return the key and the value that a word sets; '' where it sets none."""
    name, mark, value = word.partition("=")
    if name.startswith(_KEY) and mark:
        return name.removeprefix(_KEY), value
    known = keys.flatten(keys.defaults())
    for beginning, value in ((_KEY, "true"), ("--noconfig.", "false")):
        key = name.removeprefix(beginning)
        if key != name and not mark and type(known.get(key)) is bool:
            return key, value
    return "", ""  # The trainer refuses it in its own words.


def check(given: Flags, arms: Sequence[plan.Arm]) -> None:
    """Refuse a flag for what an arm sets itself, as that is what is compared.

    Raises:
        UserError: naming the flag and the arm.
    """
    for arm in arms:
        for key, value in given.overrides.items():
            if key in arm.overrides or key in arm.sweep:
                raise errors.UserError(
                    f"{_KEY}{key}={value} would go to every run, and arm {arm.name!r} "
                    f"sets `{key}` itself: change the page, or leave the flag out."
                )
