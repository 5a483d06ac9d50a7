"""A device that takes a fixed time for each step, as a process of its own.

Its work needs none of the host's Python, as a GPU's or a TPU's does not. Asked for a
step by a byte on its standard input, it answers when that is done with two doubles: the
seconds of `time.monotonic` at which it began and ended.
"""

import os
import struct
import subprocess
import sys
import time

SPAN = struct.Struct("dd")


class Device:
    """Takes `seconds` for each step; `spans` has (loop, start, end) of those done."""

    def __init__(self, seconds):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._asked, self.spans = [], []

    def submit(self, loop):
        """Ask for a step; return its number."""
        self._asked.append(loop)
        self._process.stdin.write(b".")
        return len(self._asked)

    def wait(self, number):
        """Return when that many steps are done."""
        while len(self.spans) < number:
            self._take()

    def is_done(self, number):
        """Return whether that many steps are done, at once."""
        answers = self._process.stdout
        os.set_blocking(answers.fileno(), False)
        while len(self.spans) < number and self._take():
            pass
        os.set_blocking(answers.fileno(), True)
        return len(self.spans) >= number

    def close(self):
        """End the process; what it has been asked for is done."""
        self._process.communicate()

    def _take(self):
        answer = self._process.stdout.read(SPAN.size)
        if answer:
            self.spans.append((self._asked[len(self.spans)], *SPAN.unpack(answer)))
        return bool(answer)


def main():
    seconds = float(sys.argv[1])
    while os.read(0, 1):
        start = time.monotonic()
        time.sleep(seconds)
        os.write(1, SPAN.pack(start, time.monotonic()))


if __name__ == "__main__":
    main()
