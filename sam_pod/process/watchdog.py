"""End a process that hangs, with the stacks of all threads and the exit code 42.

A host that never answers, or a collective that waits for a lost worker, blocks the main
thread in a call that neither returns nor fails.
"""

import contextlib
import dataclasses
import faulthandler
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

from absl import logging

from sam_pod.process import signals

TICK_SECONDS = 0.25
REPORT_SECONDS = 10.0


@dataclasses.dataclass(eq=False)
class _Block:
    """A piece of work under way."""

    what: str
    key: str
    seconds: float
    deadline: float  # On the watchdog's own clock.


class Watchdog:
    """One thread for the life of the process, and the blocks that it watches over.

    Its clock counts ticks of the thread, none of them above twice the usual length: a
    block is not charged for time in which the whole process was stopped or the machine
    asleep. A call that keeps Python's global lock stops the watchdog, too; TensorFlow's
    calls release it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: list[_Block] = []
        self._clock = 0.0
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def limit(self, seconds: float, what: str, key: str) -> Iterator[None]:
        """Exit with 42 unless the context ends within `seconds`, or a tick later.

        Args:
            seconds: The limit, in seconds of this process running; contexts may nest,
                in any thread.
            what: The beginning of the sentence in the log: 'A loop of steps'.
            key: The config key that raises the limit.
        """
        # A tick more, because some of the current one may have passed already.
        block = _Block(what, key, seconds, self._clock + TICK_SECONDS + seconds)
        with self._lock:
            self._blocks.append(block)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="watchdog", daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._blocks.remove(block)

    def _watch(self) -> NoReturn:
        last = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            self._clock += min(now - last, 2 * TICK_SECONDS)
            last = now
            with self._lock:
                late = [b for b in self._blocks if b.deadline < self._clock]
            if late:
                _leave(late[0])


def _leave(block: _Block) -> NoReturn:
    # By a thread, because what hangs may be the log or a full pipe.
    report = threading.Thread(target=_report, args=(block,), daemon=True)
    report.start()
    report.join(REPORT_SECONDS)
    os._exit(signals.EXIT_CODE)


def _report(block: _Block) -> None:
    logging.error(
        "%s has taken more than %g s: leaving with exit code %d, and the stacks on "
        "stderr. Run the same command again to continue; `%s` is the limit.",
        block.what,
        block.seconds,
        signals.EXIT_CODE,
        block.key,
    )
    sys.stdout.flush()
    # Into a file first: faulthandler keeps Python's lock while it writes, and a pipe
    # that nobody reads would then stop the exit as well.
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        sys.stderr.write(file.read().decode(errors="replace"))
    sys.stderr.flush()


_watchdog = Watchdog()
limit = _watchdog.limit
