"""The largest batch whose step fits a device, found by compiling."""

from collections.abc import Callable

from sam_pod import errors

# A batch that is known to fit is at least this share of one that is known not to.
_PRECISION = 0.9


def largest(
    needs: Callable[[int], float], start: int, unit: int, limit: float = 1.0
) -> tuple[int, int]:
    """Return (a batch that fits, a larger one that does not).

    Memory grows nearly in proportion to the batch, so the next guess is on the line
    through the last two; whatever it says, the interval shrinks with each compile.

    Args:
        needs: From a batch to the share of the memory that its step takes, above
            `limit` when it does not fit; compiles.
        start: The first guess.
        unit: Batches are multiples of it.
        limit: Of what `needs` returns.

    Raises:
        UserError: not even `unit` fits.
    """
    fits, fails = 0, 0
    tried: dict[int, float] = {}
    guess = max(start // unit, 1) * unit
    while True:
        tried[guess] = needs(guess)
        if tried[guess] <= limit:
            fits = max(fits, guess)
        else:
            fails = guess if not fails else min(fails, guess)
        if fails and (fits >= _PRECISION * fails or fails - fits <= unit):
            break
        guess = _next(tried, fits, fails, unit, limit)
    if not fits:
        raise errors.UserError(
            f"Not even {unit} example(s) a replica fit: take a smaller model, "
            "`dtype` 'bfloat16', or chips with more memory."
        )
    return fits, fails


def _next(
    tried: dict[int, float], fits: int, fails: int, unit: int, limit: float
) -> int:
    """Return an untried batch between the two, or above when none failed yet."""
    if len(tried) > 1:
        (b0, n0), (b1, n1) = sorted(tried.items())[-2:]
        slope = (n1 - n0) / (b1 - b0)
        on_the_line = b0 + (limit - n0) / slope if slope > 0 else 2 * fits
    else:
        ((b0, n0),) = tried.items()
        on_the_line = b0 * limit / n0
    # Just below the line, or just above once what is below it fits.
    aim = on_the_line * (0.97 if fits < 0.94 * on_the_line else 1.04)
    low = fits + unit
    high = fails - unit if fails else max(8 * fits, unit)
    return min(max(int(aim) // unit * unit, low), max(high, low))
