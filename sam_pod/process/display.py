"""Progress on stderr that does not fill a log."""

import shutil
import sys
import time

_EVERY_SECONDS = 30.0


class Display:
    """Show the current line on a terminal; elsewhere print it now and then."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._printed = time.monotonic()
        self._shown = 0

    def __call__(self, line: str) -> None:
        """Show a line; one that ends in '...' gives way to the next."""
        passes = line.endswith("...")
        if self._is_terminal and passes:
            line = line[: shutil.get_terminal_size().columns - 1]
            self._write(line.ljust(self._shown) + "\r")
            self._shown = len(line)
        elif self._is_terminal:
            self._write(line.ljust(self._shown) + "\n")
            self._shown = 0
        elif not passes or time.monotonic() - self._printed >= _EVERY_SECONDS:
            self._write(line + "\n")
            self._printed = time.monotonic()

    def clear(self) -> None:
        """Remove a line that would give way to the next."""
        if self._shown:
            self._write(" " * self._shown + "\r")
            self._shown = 0

    def _write(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)
