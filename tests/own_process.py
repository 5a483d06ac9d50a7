"""Code of a test in a process of its own, which other tests have not grown."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def check(code):
    """Fail with what the code says on stderr, if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
