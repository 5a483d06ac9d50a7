"""Signals to stop: the first asks the run to save and end, the second ends it at once.

Schedulers, terminals and users send many kinds of signals, most of which would kill a
process that does not expect them; here all of them ask for the same.
"""

import os
import signal
import sys
import threading
import time
import types

from absl import logging

EXIT_CODE = 42  # Run the same command again and it continues.
SAME_REQUEST_SECONDS = 1.0
# Signals that ask to stop even where the parent process ignores them; a shell ignores
# SIGINT for what it runs in the background.
_ALWAYS = (signal.SIGINT, signal.SIGTERM)
# Signals that ask to stop unless the parent ignores them; `nohup` ignores SIGHUP.
# Slurm, LSF and Grid Engine send SIGUSR1, SIGUSR2 and SIGXCPU; a terminal that is
# closed sends SIGHUP, Ctrl-\ SIGQUIT, a container's host SIGPWR. SIGPIPE stays ignored,
# as Python has it: a log that nobody reads is no reason to stop. SIGTSTP and its like
# still suspend. Not every system has all of them.
_NAMES = ("HUP", "QUIT", "USR1", "USR2", "ALRM", "XCPU", "PWR")
_OTHERS = tuple(s for s in signal.Signals if s.name.removeprefix("SIG") in _NAMES)


class Interrupted(Exception):
    """The run was asked to stop; what it had done is saved."""


def stops() -> tuple[signal.Signals, ...]:
    """Return the signals that ask this process to stop."""
    return _ALWAYS + tuple(
        number for number in _OTHERS if signal.getsignal(number) != signal.SIG_IGN
    )


def is_second(number: int, seconds: float) -> bool:
    """Return whether a signal is a second request, this long after the first one.

    One request may come twice: `timeout`, for example, signals the child and its group.
    Beyond the limit of CPU time the kernel sends SIGXCPU every second.
    """
    return number != signal.SIGXCPU and seconds >= SAME_REQUEST_SECONDS


def watch() -> threading.Event:
    """Return an event that the first signal sets; one a second later exits with 42.

    Call it before any other thread starts: the threads inherit the blocked signals, so
    that a thread of ours takes them even while the main thread is inside a compiled
    loop, where Python's own handlers would have to wait.
    """
    awaited = stops()
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    stop = threading.Event()

    def wait() -> None:
        number = signal.sigwait(awaited)
        asked_at = time.monotonic()
        logging.info(
            "%s: saving and stopping after this loop; once more stops at once.",
            signal.Signals(number).name,
        )
        stop.set()
        while not is_second(signal.sigwait(awaited), time.monotonic() - asked_at):
            pass
        os._exit(EXIT_CODE)

    threading.Thread(target=wait, name="interrupts", daemon=True).start()
    return stop


class Interruption:
    """Raises KeyboardInterrupt at the first signal; a later one ends the process.

    It is for work that starts again after an interruption, instead of continuing.

    Python drops an exception that is raised while its garbage collector calls back, as
    happens with TensorFlow's libraries: `raise_if_stopped` raises it once more.
    """

    def __init__(self) -> None:
        self.came, self._came_at = False, 0.0
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._dropped
        for number in stops():
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        del frame
        if self.came:
            if is_second(number, time.monotonic() - self._came_at):
                os._exit(EXIT_CODE)
            return
        self.came, self._came_at = True, time.monotonic()
        raise KeyboardInterrupt

    def _dropped(self, dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            self._hook(dropped)

    def raise_if_stopped(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self.came:
            raise KeyboardInterrupt
