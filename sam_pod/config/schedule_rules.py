"""The boundaries of a schedule in steps."""

import ml_collections

from sam_pod import errors
from sam_pod.config import window


def validate(config: ml_collections.ConfigDict) -> None:
    """Refuse boundaries that are none.

    Raises:
        UserError: with the key, its value and the rule.
    """
    if config.schedule.name == "step":
        boundaries(config)


def boundaries(config: ml_collections.ConfigDict) -> tuple[float, ...]:
    """Return when 'step' lowers the rate, in epochs from the beginning of the run.

    Raises:
        UserError: there are none, or they do not rise, or do not lie in the run.
    """
    text, num_epochs = config.schedule.boundaries, config.num_epochs
    found = tuple(
        window.epochs("schedule.boundaries", part, num_epochs)
        for part in text.split(",")
    )
    if not (found[0] > 0 and found[-1] < num_epochs and sorted(set(found)) == [*found]):
        raise errors.UserError(
            f"`schedule.boundaries` is {text!r}; they must rise, above 0 and below the "
            f"{num_epochs} of `num_epochs`, such as '30%,60%,80%'."
        )
    return found
