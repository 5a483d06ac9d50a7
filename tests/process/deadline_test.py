"""A deadline for code that never gives Python's lock back."""

import subprocess
import sys
import time

import pytest

from sam_pod.process import deadline

# PyDLL keeps the lock during the call: no other thread of Python's can run.
STUCK = """
import ctypes, threading, os, time
from sam_pod.process import deadline

def thread():
    time.sleep(0.2)
    os._exit(7)

def stuck_in_c():
    ctypes.PyDLL(None).pause()

with deadline.limit(0.5):
    threading.Thread(target=thread, daemon=True).start()
    stuck_in_c()
"""


def test_exits_with_42_and_the_stacks_though_the_lock_is_held():
    run = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, check=False
    )
    assert run.returncode == 42, run.stderr
    assert "in stuck_in_c" in run.stderr


def test_what_ends_in_time_goes_on():
    code = (
        "import time\nfrom sam_pod.process import deadline\n"
        "with deadline.limit(0): pass\n"
        "end = time.monotonic() + 3\n"
        "while time.monotonic() < end: time.sleep(0.1)\n"
        "print('alive')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "alive\n"), run.stderr


def test_an_error_inside_disarms_it():
    start = time.monotonic()
    with pytest.raises(KeyError), deadline.limit(3600):
        raise KeyError
    assert time.monotonic() - start < 3600
