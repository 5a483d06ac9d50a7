"""SIGTERM and SIGINT: the first asks the run to stop, the second stops it at once."""

import os
import signal
import threading
import time

from absl import logging

EXIT_CODE = 42  # Run the same command again and it continues.
SAME_REQUEST_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The run was asked to stop; what it had done is saved."""


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
