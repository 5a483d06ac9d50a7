"""What a config key is, and the rules that several of them share."""

import dataclasses
from collections.abc import Callable
from typing import Any

# Whether a key may have another value when a run is continued.
FIXED = "fixed"
FREE = "free"  # It says where and how to run, not what is computed.
ACCEPTED = "accepted"  # Where --accept_change names it.
# It says on how many replicas to run: what is computed depends on what that comes to
# (spread.py), not on its text.
PLACE = "place"


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a predicate."""

    words: str  # What follows 'it must be'.
    holds: Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class Row:
    """One config key."""

    name: str
    default: bool | int | float | str  # Every value has its type.
    help: str
    rule: Rule = Rule("", lambda value: True)  # Or the builder that reads it has one.
    change: str = FIXED
    is_path: bool = False  # Whether it is or may be a path, in which `~` is expanded.
    is_number_or_name: bool = False  # A recipe may give a whole number for its text.
    # Values of its section's key that chooses (readers.py) which read it; () for all,
    # and for a key older than that rule, which workdirs may have set.
    readers: tuple[str, ...] = ()


def one_of(*choices: str) -> Rule:
    """Return the rule of a key that has one of some values."""
    return Rule(" or ".join(map(repr, choices)), choices.__contains__)


ABOVE_0 = Rule("above 0", lambda value: value > 0)
AT_LEAST_0 = Rule("0 or above", lambda value: value >= 0)
ABOVE_0_UP_TO_1 = Rule("in (0, 1]", lambda value: 0 < value <= 1)
BELOW_1 = Rule("in [0, 1)", lambda value: 0 <= value < 1)
UP_TO_1 = Rule("in [0, 1]", lambda value: 0 <= value <= 1)
UP_TO_10 = Rule("0 or above, and at most 10", lambda value: 0 <= value <= 10)
CHANNELS = Rule("1 (grey), 3 or 0 (as the data are)", (0, 1, 3).__contains__)
VALIDATION = Rule(
    "'held_out' (`data.validation_examples` of training), 'split' (the data's own) or "
    "'none' (all of training trains)",
    ("held_out", "split", "none").__contains__,
)
