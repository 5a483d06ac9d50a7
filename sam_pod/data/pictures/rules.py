"""Decisions of the user where a picture does not say how to see it."""

import dataclasses

import PIL.ImageColor

from sam_pod import errors

FULL = 16  # All bits of 16 are used.
BITS = (8, 10, 12, 14, FULL)  # The bits of cameras, scanners and microscopes.


@dataclasses.dataclass(frozen=True)
class PictureRules:
    """How pictures of some kinds become uint8."""

    background: str = "white"  # The colour under transparent pictures.
    # How many bits of a 16-bit picture are used; 0: it must be one that uses all.
    bits: int = 0

    @property
    def is_full(self) -> bool:
        """Whether all 16 bits are used, as somebody has said or seen."""
        return self.bits == FULL

    @property
    def color(self) -> tuple[int, int, int]:
        """The background as red, green and blue."""
        return PIL.ImageColor.getrgb(self.background)[:3]


DEFAULT = PictureRules()


def check_background(background: str) -> None:
    """Refuse what is no colour.

    Raises:
        UserError: with examples of what is.
    """
    try:
        PIL.ImageColor.getrgb(background)
    except ValueError:
        raise errors.UserError(
            f"`background` is {background!r}; it must be a colour such as white, "
            "'#808080' or 'rgb(124,116,104)'."
        ) from None


def bits_of(text: str) -> int | None:
    """Return how many bits of 16 a flag says are used; None for 'auto'.

    Raises:
        UserError: it is none of these.
    """
    if text == "auto":
        return None
    if text == "full":
        return FULL
    if text.isdecimal() and 8 <= int(text) <= FULL:
        return int(text)
    raise errors.UserError(
        f"`sixteen_bit` is {text!r}; it must be auto, full, or how many bits of 16 "
        "hold the picture, from 8 to 16: 12 where values go from 0 to 4,095."
    )


def bits_for(largest: int) -> int:
    """Return the fewest of BITS that hold a value."""
    return next(bits for bits in BITS if largest < 1 << bits)
