"""Signals to a real process whose main thread is busy for good."""

import signal
import subprocess
import sys

import pytest

from tests import runs

BUSY = """
import threading
from absl import logging
from sam_pod import interrupts
logging.set_verbosity(logging.INFO)
stop = interrupts.watch()
print("watching", flush=True)
stop.wait()
print("asked to stop", flush=True)
threading.Event().wait()  # As a compiled loop that has long to go.
"""


@pytest.fixture
def busy():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=runs.ROOT,
    )
    assert process.stdout.readline() == "watching\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_asks_and_a_later_one_ends_the_process(busy, number):
    busy.send_signal(number)
    assert busy.stdout.readline() == "asked to stop\n"
    code = None
    while code is None:
        busy.send_signal(number)
        try:
            code = busy.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    assert code == 42


def test_a_request_that_comes_twice_at_once_is_one(busy):
    busy.send_signal(signal.SIGTERM)
    busy.send_signal(signal.SIGINT)
    assert busy.stdout.readline() == "asked to stop\n"
    with pytest.raises(subprocess.TimeoutExpired):
        busy.wait(1.5)  # Longer than the second one would be taken as the same.
