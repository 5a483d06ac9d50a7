"""Copy what workers print to this process's stdout and stderr, in whole lines."""

import contextlib
import os
import select
import threading
from collections.abc import Iterator
from typing import IO

STDOUT, STDERR = 1, 2
LONGEST_LINE_BYTES = 1 << 20  # A longer one is shown in parts.


class Output:
    """Writes the lines of several workers, each behind its worker's number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: dict[bytes, int] = {}

    def say(self, text: str) -> None:
        """Write a line of the launcher's own to stdout."""
        self._write(STDOUT, f"[launcher] {text}\n".encode())

    def complain(self, text: str) -> None:
        """Write a line of the launcher's own to stderr, as it is."""
        self._write(STDERR, f"{text}\n".encode())

    def write_line(self, worker: int, target: int, line: bytes) -> None:
        """Write a worker's line, which has no newline, to STDOUT or STDERR.

        The same `Error: ...` of several workers is one mistake of the user's: it is
        written once.
        """
        if target == STDERR and line.startswith(b"Error: "):
            with self._lock:
                if self._errors.setdefault(line, worker) != worker:
                    return
        self._write(target, b"[%d] %b\n" % (worker, line))

    def _write(self, target: int, data: bytes) -> None:
        # The reader may be gone (`| head`) or the disk full: a run outlives its log.
        with self._lock, contextlib.suppress(OSError):
            while data:
                data = data[os.write(target, data) :]


class Copier:
    """A thread that copies one pipe of one worker.

    It reads to the end of the pipe. If processes that the worker left behind hold the
    pipe open, it reads what is in it when the worker has ended.
    """

    def __init__(self, pipe: IO[bytes], worker: int, target: int, output: Output):
        self._pipe = pipe  # Unbuffered.
        self._worker, self._target, self._output = worker, target, output
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Copy the rest of a worker that has ended, and close the pipe."""
        os.close(self._end)
        self._thread.join()
        os.close(self._ended)
        self._pipe.close()

    def _copy(self) -> None:
        rest = b""
        for data in self._read():
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                lines.append(rest)
                rest = b""
            for line in lines:
                self._output.write_line(self._worker, self._target, line)
        if rest:
            self._output.write_line(self._worker, self._target, rest)

    def _read(self) -> Iterator[bytes]:
        poll = select.poll()
        poll.register(self._ended)
        poll.register(self._pipe)
        while self._pipe.fileno() in dict(poll.poll()):
            data = self._pipe.read(1 << 16)
            if not data:
                return
            yield data
