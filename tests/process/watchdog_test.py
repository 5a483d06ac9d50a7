"""Processes that hang for real, and processes that only seem to."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sam_pod.process import watchdog
from tests import runs

START = """
import os, sys, threading, time
from sam_pod.process import watchdog

def wait_for_a_pipe():
    os.read(os.pipe()[0], 1)

def wait_for_a_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def work():
    print("working", flush=True)
"""


def start(code, **keywords):
    return subprocess.Popen(
        [sys.executable, "-c", START + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=runs.ROOT,
        **{"stderr": subprocess.PIPE, **keywords},
    )


def run(code):
    """Return (exit code, stdout, stderr)."""
    process = start(code)
    stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr


@pytest.mark.parametrize("function", ["wait_for_a_pipe", "wait_for_a_lock"])
def test_a_block_that_hangs_ends_with_42_and_the_stacks(function):
    code, stdout, stderr = run(
        f"print('unflushed', end='')\n"
        f"with watchdog.limit(0.5, 'Connecting', 'watchdog.connect_seconds'):\n"
        f"    {function}()\n"
    )
    assert code == 42
    assert stdout == "unflushed"
    assert "Connecting has taken more than 0.5 s" in stderr
    assert "`watchdog.connect_seconds` is the limit" in stderr
    assert stderr.count("Connecting has") == 1
    assert f"in {function}" in stderr  # Where the main thread is.
    assert "in _watch" in stderr  # All threads.


def test_the_outer_and_other_threads_blocks_are_watched():
    outer = """
with watchdog.limit(0.5, 'The outer', 'a'):
    while True:
        with watchdog.limit(60, 'The inner', 'b'):
            time.sleep(0.01)
"""
    code, _, stderr = run(outer)
    assert (code, "The outer has" in stderr) == (42, True)
    other = """
def hang():
    with watchdog.limit(0.5, 'The thread', 'a'):
        wait_for_a_lock()
threading.Thread(target=hang, daemon=True).start()
with watchdog.limit(60, 'The main thread', 'b'):
    wait_for_a_pipe()
"""
    code, _, stderr = run(other)
    assert (code, "The thread has" in stderr) == (42, True)


def test_time_in_which_the_process_is_stopped_does_not_count():
    process = start("""
with watchdog.limit(2, 'Reading', 'key'):
    work()
    sys.stdin.readline()
print("done")
""")
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    time.sleep(3)  # Longer than the limit: what is tested is time itself.
    process.send_signal(signal.SIGCONT)
    time.sleep(2 * watchdog.TICK_SECONDS)  # Let it look at the clock.
    stdout, stderr = process.communicate("\n", timeout=600)
    assert (process.returncode, stdout, stderr) == (0, "done\n", "")


def test_a_pipe_that_nobody_reads_does_not_keep_the_process():
    """What hangs is the log itself: its lock is held and stderr is full."""
    process = start("""
from absl import logging
watchdog.REPORT_SECONDS = 0.5
with watchdog.limit(0.5, 'Logging', 'key'):
    logging.warning("x" * (1 << 20))
""")
    assert process.wait(timeout=600) == 42
    process.communicate()


def test_full_stderr_does_not_keep_the_process():
    process = start("""
import fcntl
watchdog.REPORT_SECONDS = 0.5
watchdog.logging.error = lambda *arguments: None
fcntl.fcntl(2, fcntl.F_SETFL, os.O_NONBLOCK)
try:
    while os.write(2, b"x" * 4096): pass
except BlockingIOError:
    fcntl.fcntl(2, fcntl.F_SETFL, 0)
with watchdog.limit(0.5, 'Waiting', 'key'):
    wait_for_a_lock()
""")
    assert process.wait(timeout=600) == 42
    process.communicate()


def test_fast_blocks_never_fire_and_share_one_thread():
    code, stdout, stderr = run("""
for _ in range(20_000):
    with watchdog.limit(0.5, 'A loop', 'key'):
        pass
try:
    with watchdog.limit(0.5, 'A failure', 'key'):
        raise KeyError
except KeyError:
    pass
time.sleep(1.5)  # Nothing is left to watch.
print(threading.active_count())
""")
    assert (code, stdout, stderr) == (0, "2\n", "")


def test_a_limit_never_fires_early(monkeypatch):
    """By the watchdog's clock, whatever part of a tick has passed at the start."""
    fired = threading.Event()
    monkeypatch.setattr(watchdog, "_leave", lambda block: fired.set())
    dog = watchdog.Watchdog()
    with dog.limit(60, "Another", "key"):
        time.sleep(0.2)
        started = time.monotonic()
        with dog.limit(0.4, "This", "key"):
            assert fired.wait(600)
            assert time.monotonic() - started > 0.4
