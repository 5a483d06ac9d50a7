"""A run that has a trainer on each host of a slice: they count as one."""

import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from launch.tpu import provision, trainer
from launch.tpu.starts import Start
from launch.tpu.trainer import Ending
from launch.workers import restarts

# JAX ends a process so, from its own threads, when a machine of the run is lost.
ABORTED = 128 + signal.SIGABRT
_ENDING_SECONDS = 600.0  # More than the trainers' own watchdog takes.


def state(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the state that stands for those of all hosts: of one that runs, if any."""
    running = [each for each in found if each["state"] == "running"]
    known = [each for each in found if each["state"] != "none"]
    return next(iter([*running, *known, *found]), {"state": "none"})


def settle(the_slice: provision.Slice, start: Start, ending: Ending) -> Ending:
    """Return how the trainers of all hosts ended, once all of them have.

    Those that outlive the first by long are killed.

    Args:
        the_slice: The slice.
        start: How the run was started.
        ending: How the first host's trainer ended.

    Raises:
        GcloudError: the hosts could not be asked.
    """
    if start.workers != "all" or ending.slice_is_lost:
        return ending
    deadline = time.monotonic() + _ENDING_SECONDS
    found = trainer.look(the_slice.place, start.workers)
    while state(found)["state"] == "running":
        if time.monotonic() > deadline:
            provision.say("Some hosts' trainers run on: killing them.")
            trainer.kill(the_slice.place, start.workers)
        time.sleep(the_slice.poll_seconds)
        found = trainer.look(the_slice.place, start.workers)
    return Ending(verdict([ending.code, *(each.get("code") for each in found)]))


def verdict(codes: Sequence[int | None]) -> int | None:
    """Return what the exit codes of all hosts mean; None for one that is not known.

    A code that another start does not mend counts before any that it does.
    """
    known = {i: code for i, code in enumerate(codes) if code is not None}
    code = restarts.verdict(known)
    return code if code or len(known) == len(codes) else None
