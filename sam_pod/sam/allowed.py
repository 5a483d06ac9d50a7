"""What a hyper-parameter of a member may be, for who builds one without a config."""

from collections.abc import Iterable


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below the least one.

    Raises:
        ValueError: with the name, the value and the rule.
    """
    if not least <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}; it must be at least {least}")


def check_share(
    name: str, value: float, *, zero: bool = False, one: bool = False
) -> None:
    """Refuse a number that is not between 0 and 1.

    Args:
        name: The number's name.
        value: The number.
        zero: Whether it may be 0.
        one: Whether it may be 1.

    Raises:
        ValueError: with the name, the value and the rule.
    """
    if not (0 < value < 1 or (zero and value == 0) or (one and value == 1)):
        ends = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
        raise ValueError(f"{name} is {value!r}; it must be in {ends}")


def check_one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse what is not among the choices.

    Raises:
        ValueError: with the name, the value and the rule.
    """
    if value not in (choices := list(choices)):
        raise ValueError(f"{name} is {value!r}; it must be one of {choices}")
