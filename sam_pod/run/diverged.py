"""A run whose numbers are finite no more: which, and the way on."""

import numpy as np

from sam_pod import errors
from sam_pod.run import continuing
from sam_pod.run.session import Session
from sam_pod.step import metrics


def check_steps(rows: np.ndarray, done: int, session: Session) -> None:
    """Refuse steps whose metrics are not finite.

    Args:
        rows: The metrics of each step, as the loop returns them.
        done: The steps before them.
        session: The run's session.

    Raises:
        UserError: naming the first such step.
    """
    rows = rows[:, : len(metrics.TRAIN)]  # What a member adds may be missing.
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        first = int(bad.argmax())
        values = metrics.named(rows[first])
        name = next(n for n, value in values.items() if not np.isfinite(value))
        raise error(f"{name} of step {done + first + 1}", values[name], session)


def error(what: str, value: float, session: Session) -> errors.UserError:
    """Return what to say of a run that something not finite has ended."""
    config, workdir = session.config, session.workdir
    is_saved = continuing.done(workdir)[0] > 0
    stays = f"; the last good checkpoint stays in {workdir}" if is_saved else ""
    return errors.UserError(
        f"The {what} is {value}: training diverged. Start in another --workdir with a "
        f"lower `optimizer.learning_rate` ({config.optimizer.learning_rate}) or "
        f"`sam.rho` ({config.sam.rho}){stays}."
    )
