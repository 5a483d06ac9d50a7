"""Durations that a user gives, in seconds."""

import math

from absl import flags


def define(
    name: str,
    default: float,
    text: str,
    values: flags.FlagValues,
    most: float | None = None,
) -> None:
    """Define a flag that takes a finite number from 0 on.

    absl alone takes nan for one within any bounds, and nothing is later than nan.

    Args:
        name: The flag's name.
        default: Its default value.
        text: Its help.
        values: Where it is defined.
        most: The longest duration, if there is one.
    """
    flags.DEFINE_float(name, default, text, 0.0, most, flag_values=values)
    flags.register_validator(
        name, math.isfinite, "It must be a finite number.", flag_values=values
    )
