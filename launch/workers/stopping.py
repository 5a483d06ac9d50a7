"""Signals to a launcher: the first stops its workers, the second kills them."""

import math
import signal
import time

from sam_pod.process import signals


class Requests:
    """Requests to stop, which are taken in `wait` alone and interrupt nothing."""

    def __init__(self) -> None:
        """Block the signals: call it from the main thread before another starts."""
        self._asked_at = math.inf
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Our parent may ignore it.
        self._awaited = {*signals.stops(), signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)

    @property
    def came(self) -> bool:
        """Return whether this process was asked to stop."""
        return self._asked_at < math.inf

    def wait(self, seconds: float) -> signal.Signals | None:
        """Wait for a request or a child's end, at most so long.

        Returns:
            The signal for the workers: SIGTERM once, whatever came, and SIGKILL for a
            request that comes `signals.SAME_REQUEST_SECONDS` later. SIGINT is not
            passed on: a Python that is still importing would print a traceback.
        """
        received = signal.sigtimedwait(self._awaited, max(0.0, min(seconds, 3600.0)))
        if received is None or received.si_signo == signal.SIGCHLD:
            return None
        now = time.monotonic()
        if not self.came:
            self._asked_at = now
            return signal.SIGTERM
        late = signals.is_second(received.si_signo, now - self._asked_at)
        return signal.SIGKILL if late else None
