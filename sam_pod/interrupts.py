"""SIGTERM and SIGINT: the first asks the run to stop, the second stops it at once."""

import os
import signal
import sys
import threading
import time
import types

from absl import logging

EXIT_CODE = 42  # Run the same command again and it continues.
SAME_REQUEST_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


# What TensorFlow raises when another machine, or the storage, is gone.
_LOST = {
    "UnavailableError",
    "AbortedError",
    "DeadlineExceededError",
    "StorageLost",  # Ours.
}
# What it raises for that at other times, told by its words.
_LOST_IN_WORDS = {"CancelledError", "FailedPreconditionError", "InternalError"}
_WORDS_OF_LOSS = (
    "connection reset",
    "failed to connect",
    "heartbeat",
    "incarnation",
    "socket closed",
    "collective ops is aborted",
)


class Interrupted(Exception):
    """The run was asked to stop; what it had done is saved."""


def is_lost_worker(error: BaseException) -> bool:
    """Return whether an error says that another machine of the run is gone.

    Nothing can be saved then: the variables were on it, or wait for it.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    words = str(error).lower()
    return bool(names & _LOST) or (
        bool(names & _LOST_IN_WORDS) and any(w in words for w in _WORDS_OF_LOSS)
    )


def reason_of_loss(error: BaseException) -> str:
    """Return the line of an error that says what was lost, cut to 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = (x for x in lines if any(w in x.lower() for w in _WORDS_OF_LOSS))
    return next(telling, " ".join(lines))[:200]


def watch() -> threading.Event:
    """Return an event that the first signal sets; one a second later exits with 42.

    Call it before any other thread starts: the threads inherit the blocked signals, so
    that a thread of ours takes them even while the main thread is inside a compiled
    loop, where Python's own handlers would have to wait.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    stop = threading.Event()

    def wait() -> None:
        number = signal.sigwait(_SIGNALS)
        logging.info(
            "%s: saving and stopping after this loop; once more stops at once.",
            signal.Signals(number).name,
        )
        stop.set()
        # One request may come twice: `timeout`, say, signals the child and its group.
        deadline = time.monotonic() + SAME_REQUEST_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait(_SIGNALS, left)
        signal.sigwait(_SIGNALS)
        os._exit(EXIT_CODE)

    threading.Thread(target=wait, name="interrupts", daemon=True).start()
    return stop


class Interruption:
    """Raises KeyboardInterrupt at the first signal; a later one ends the process.

    For what is done anew after an interruption, and not continued.

    Python drops an exception that is raised while its garbage collector calls back,
    as TensorFlow's libraries make it do: `check` raises it once more.
    """

    def __init__(self) -> None:
        self.came, self._came_at = False, 0.0
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._dropped
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        del number, frame
        if self.came:
            # One request may come twice: `timeout`, say, signals a child and its group.
            if time.monotonic() - self._came_at >= SAME_REQUEST_SECONDS:
                os._exit(EXIT_CODE)
            return
        self.came, self._came_at = True, time.monotonic()
        raise KeyboardInterrupt

    def _dropped(self, dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            self._hook(dropped)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self.came:
            raise KeyboardInterrupt
