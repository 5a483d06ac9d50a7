"""When in a run the member acts: `sam.start` and `sam.end`."""

from typing import NamedTuple

import ml_collections

from sam_pod import errors


class Window(NamedTuple):
    """A part of a run, in epochs from its beginning."""

    start: float
    end: float

    def steps(self, epoch_steps: int) -> tuple[int, int]:
        """Return the first step of the window, and the first after it."""
        return round(self.start * epoch_steps), round(self.end * epoch_steps)


def of(config: ml_collections.ConfigDict) -> Window:
    """Return the window of a config.

    Raises:
        UserError: an end that cannot be read, or a window that never opens.
    """
    window = Window(
        epochs("sam.start", config.sam.start, config.num_epochs),
        epochs("sam.end", config.sam.end, config.num_epochs),
    )
    if not window.start < min(window.end, config.num_epochs):
        raise errors.UserError(
            f"`sam.start` is {config.sam.start} and `sam.end` {config.sam.end}, of "
            f"{config.num_epochs} epochs: `sam.variant` {config.sam.variant!r} would "
            "never act; the start must be below both, or take `sam.rho` 0."
        )
    return window._replace(end=min(window.end, config.num_epochs))


def epochs(key: str, text: str, num_epochs: int) -> float:
    """Return the epochs from the beginning of a run that a text says.

    Args:
        key: The key that has the text.
        text: A number of epochs, or a share of the run such as '87.5%'.
        num_epochs: The epochs of the run.

    Raises:
        UserError: it cannot be read.
    """
    is_share = text.strip().endswith("%")
    try:
        number = float(text.strip().removesuffix("%"))
        if not 0 <= number < float("inf"):
            raise ValueError
    except ValueError as error:
        raise errors.UserError(
            f"`{key}` is {text!r}; it must be a number of epochs, "
            "such as 20, or a share of the run, such as 87.5%."
        ) from error
    return number / 100 * num_epochs if is_share else number


def stretched(text: str, by: float) -> str:
    """Return what `epochs` reads, several by comma, for a run `by` times as long."""
    return ",".join(_stretched(part, by) for part in text.split(","))


def _stretched(text: str, by: float) -> str:
    is_as_it_was = text.strip().endswith("%") or not float(text)
    return text if is_as_it_was else repr(float(text) * by)
