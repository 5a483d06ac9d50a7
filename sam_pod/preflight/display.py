"""Say on stderr what goes on, without filling a log with it."""

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
        if self._is_terminal:
            end = "\r" if passes else "\n"
            print(line.ljust(self._shown), end=end, file=sys.stderr, flush=True)
            self._shown = len(line) if passes else 0
        elif not passes or time.monotonic() - self._printed >= _EVERY_SECONDS:
            print(line, file=sys.stderr, flush=True)
            self._printed = time.monotonic()
