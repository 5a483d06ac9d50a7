"""The largest batch whose step fits a device, found by compiling."""

import math
from collections.abc import Callable

from sam_pod import errors

# A batch that is known to fit is at least this share of one that is known not to.
_PRECISION = 0.9
# A share of the memory. Above it, the compiler computes some values again rather than
# keep them, and the memory of a step hardly grows: ResNet20 on a v5e took 0.88 with
# 11,390 examples and 0.91 with 16,781 (libtpu 0.0.7).
_FLAT = 0.85


def largest(
    needs: Callable[[int], float], start: int, unit: int, ceiling: int
) -> tuple[int, int | None]:
    """Return (a batch that fits, a larger one that does not).

    If the ceiling itself fits, no larger one is tried, and the second is None.

    Memory grows nearly in proportion to the batch, so the next guess is on the line
    through what is known. Where that has not halved the interval, the next is in its
    middle: whatever memory does, some twenty compiles are enough. From a batch that
    nearly fills the memory, steps are small at first, and then grow.

    Args:
        needs: A function from a batch to the share of the memory that its step takes,
            above 1 when it does not fit; it compiles.
        start: The first guess.
        unit: The number of which all batches are multiples.
        ceiling: The largest useful batch, at least `unit`.

    Raises:
        UserError: not even `unit` fits.
    """
    tried: dict[int, float] = {}
    ceiling = ceiling // unit * unit
    guess = min(max(start // unit, 1) * unit, ceiling)
    width, small_steps = math.inf, 0
    while True:
        tried[guess] = needs(guess)
        fits = max((b for b, need in tried.items() if need <= 1), default=0)
        fails = min((b for b, need in tried.items() if need > 1), default=0)
        if fails and (fits >= _PRECISION * fails or fails - fits <= unit):
            break
        if fits == ceiling:
            return fits, None
        before, width = width, _width(fits, fails, unit)
        middle = round(math.sqrt(max(fits, unit) * fails)) if fails else math.inf
        is_full = tried.get(fits, 0.0) > _FLAT
        is_halved = not fails or width <= before / 2
        line = _on_the_line(tried, fits, fails, is_full) if is_halved else 0.0
        if is_full:
            guess = max(line, _small_step(fits, small_steps, middle))
            small_steps += line < 2 * fits  # Else the line leads far.
        else:
            guess = line or middle
        low, high = fits + unit, fails - unit if fails else 8 * max(fits, unit)
        guess = min(max(int(guess) // unit * unit, low), max(high, low), ceiling)
    if not fits:
        raise errors.UserError(
            f"Not even {unit} example(s) a replica fit: take a smaller model, "
            "`dtype` 'bfloat16', or chips with more memory."
        )
    return fits, fails


def _width(fits: int, fails: int, unit: int) -> float:
    """Return the distance of the two, in units of the ratio that ends the search."""
    return math.log(fails / max(fits, unit / 2)) if fails else math.inf


def _small_step(fits: int, count: int, middle: float) -> float:
    """Return a batch a little above one that nearly fills the memory.

    The first step is a factor of 1.11, then 1.23, 1.52, ... up to the middle.
    """
    return min(fits * _PRECISION ** -(2.0 ** min(count, 8)), middle)


def _on_the_line(
    tried: dict[int, float], fits: int, fails: int, is_full: bool
) -> float:
    """Return the batch that would just fit if memory were linear in it."""
    if fits and fails:
        known = [fits, fails]
    else:
        known = sorted(tried)[-2:]
        if is_full:  # Between two full ones memory grows by chance.
            known = sorted({min(tried), max(tried)})
    if len(known) > 1:
        (b0, n0), (b1, n1) = ((b, tried[b]) for b in known)
        slope = (n1 - n0) / (b1 - b0)
        found = b0 + (1 - n0) / slope if slope > 0 else 8 * b1
    else:
        found = known[0] / tried[known[0]]
    # Just below the line, or just above once what is below it fits.
    return found * (0.97 if fits < 0.94 * found else 1.04)
