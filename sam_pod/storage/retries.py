"""Try again what storage has failed to do, for a bounded time.

The clients of s3:// and gs:// try again by themselves, for seconds; that of http://
does not. This covers http:// and failures that last longer. Inside a dataset
data/input/attempts.py does it.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from absl import logging

from sam_pod import errors
from sam_pod.storage import faults

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class _Policy:
    """How long to retry, and whether retrying has already failed once.

    From then on nothing is retried: a process that is shutting down must not wait again
    at every step.
    """

    seconds = 120.0
    has_given_up = False


def limit_to(seconds: float) -> None:
    """Set for how long failures are tried again; 0 means a single attempt."""
    _Policy.seconds = seconds


def pauses() -> list[float]:
    """Return the seconds to wait before each further attempt."""
    found: list[float] = []
    pause = FIRST_PAUSE_SECONDS
    while sum(found) < _Policy.seconds:
        found.append(min(pause, _Policy.seconds - sum(found)))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return found


def persist(action: Callable[[], T], path: str) -> T:
    """Return what `action` returns, once storage does not fail.

    Args:
        action: The work, which may run twice.
        path: The path that it works on.

    Raises:
        StorageLost: it failed for as long as `limit_to` said.
    """
    start = time.monotonic()
    for pause in (*pauses(), None):
        try:
            return action()
        except Exception as error:
            if not faults.is_transient(error):
                raise
            waited = time.monotonic() - start
            in_vain = pause is None or waited + pause > _Policy.seconds
            if in_vain or _Policy.has_given_up:
                _Policy.has_given_up = True
                raise faults.StorageLost(path, error, waited) from error
            logging.warning(
                "%s fails (%s); trying again in %g s.",
                path,
                errors.reason(error),
                pause,
            )
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")
