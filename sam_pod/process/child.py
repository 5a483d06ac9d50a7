"""A process that this one starts, on cores of its own, and that ends with it."""

import ctypes
import functools
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Sequence

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares(count: int) -> list[list[int]]:
    """Return as many cores for each of so many processes, neighbours together.

    Where the number does not divide, some cores are left over; where there are fewer
    cores than processes, some processes share one.
    """
    every = cores()
    size = max(len(every) // count, 1)
    return [
        [every[(i * size + j) % len(every)] for j in range(size)] for i in range(count)
    ]


def start(
    command: Sequence[str],
    output: str,
    on_cores: Collection[int] = (),
    inherits: Collection[int] = (),
) -> subprocess.Popen:
    """Start a command whose output is added to a file.

    The terminal's Ctrl-C comes to this process alone; its death, however sudden, asks
    the command to stop (where the system is Linux). It is as nice as this process. Call
    it from the main thread.

    Args:
        command: The program and its arguments.
        output: The file.
        on_cores: The cores that it may use; () for those of this process. A library
            that asks how many there are is given their number.
        inherits: Open files that it has, too; what they lock is locked while it lives.

    Raises:
        OSError: it cannot be started.
    """
    with open(output, "ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            preexec_fn=_beginning(on_cores),
            pass_fds=tuple(inherits),
        )


def _beginning(on_cores: Collection[int]) -> Callable[[], None]:
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError):
        prctl = None  # Not Linux.
    return functools.partial(_begin, os.getpid(), prctl, frozenset(on_cores))


def _begin(
    starter: int, prctl: Callable[[int, int], int] | None, on_cores: frozenset[int]
) -> None:
    """Tie the child to its starter, and take back the signals that that one blocks."""
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != starter:  # It died before the line above.
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    keep_nice()
    if on_cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, on_cores)


def keep_nice() -> None:
    """Give the session that this process has begun the niceness of the process.

    Linux shares the cores out among sessions before it does among their processes, and
    a new session is not nice, whatever its processes are (sched(7), autogroups).
    """
    if nice := os.nice(0):
        try:
            with open("/proc/self/autogroup", "w") as file:
                file.write(str(nice))
        except OSError:
            return  # This system has no such groups, or does not let us.
