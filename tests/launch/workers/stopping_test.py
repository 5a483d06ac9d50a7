"""Signals to a launcher, its terminal, and its own death."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from tests import runs
from tests.launch import jobs

SAVES = """
def save():
    print("saving", flush=True)
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit(42)
on_sigterm(save)
ready()
while True:
    signal.pause()
"""
NEVER_ENDS = """
on_sigterm(lambda: print("deaf", flush=True))
ready()
while True:
    signal.pause()
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(
            pytest.param(number, marks=pytest.mark.slow)
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
        ),
    ],
)
def test_a_signal_stops_all_workers_once(start, number):
    job = start(SAVES)
    job.pids()
    job.send(number)
    assert job.wait() == 42
    assert {"[0] saved", "[1] saved"} < set(job.lines)
    assert job.num_starts() == 1
    assert not any("restart" in line for line in job.lines)
    assert job.stderr == ""


def test_one_request_may_come_twice(start):
    job = start(SAVES)
    job.pids()
    job.send(signal.SIGTERM)
    job.send(signal.SIGINT)
    assert job.wait() == 42
    assert {"[0] saved", "[1] saved"} < set(job.lines)


def test_a_second_request_kills(start):
    job = start(NEVER_ENDS)
    pids = job.pids()
    ended = threading.Event()

    def insist():
        while not ended.wait(0.1):
            job.send(signal.SIGTERM)

    thread = threading.Thread(target=insist)
    thread.start()
    assert job.wait() == 42
    ended.set()
    thread.join()
    assert sorted(line for line in job.lines if "deaf" in line) == [
        "[0] deaf",
        "[1] deaf",
    ]
    assert not any(jobs.is_alive(pid) for pid in pids.values())


def test_a_request_ends_the_pause(start):
    job = start("sys.exit(42)", first_pause_seconds=3600.0)
    assert job.read_until("restart 1 of 10 in 60 s")
    job.send(signal.SIGTERM)
    assert job.wait() == 42
    assert job.num_starts() == 1


def test_an_error_while_stopping_is_told(start):
    job = start("on_sigterm(lambda: sys.exit(index))\nready()\nsignal.pause()")
    job.pids()
    job.send(signal.SIGTERM)
    assert job.wait() == 1


def test_workers_die_with_the_launcher(start):
    job = start(NEVER_ENDS)
    pids = job.pids().values()
    job.send(signal.SIGKILL)
    jobs.wait_until(lambda: not any(jobs.is_alive(pid) for pid in pids))


def test_a_parent_that_ignores_its_children(tmp_path):
    # What is ignored stays so in the launcher, and its children would leave no code.
    command = ["-m", "tests.launch.stand_ins", "sys.exit(1)", "2", "{}", "[]"]
    ignore = (
        "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", ignore, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.startswith("Error: exit code 1 from worker 0")
    assert done.returncode == 1


def test_the_terminals_ctrl_c_comes_once(tmp_path):
    # A process that opens a terminal as the first of its session is controlled by it.
    ours, theirs = os.openpty()
    code = "on_sigterm(lambda: (print('asked'), sys.exit(42)))\nready()\nsignal.pause()"
    arguments = ["-m", "tests.launch.stand_ins", code, "2", "{}", "[]"]
    path = os.ttyname(theirs)
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", tmp_path, sys.executable]
        + arguments,
        {**os.environ, "PYTHONPATH": str(runs.ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ],
        setsid=True,
    )
    os.close(theirs)
    shown = read_until(ours, lambda text: text.count("] pid ") == 2)
    os.write(ours, b"\x03")
    shown += read_until(ours, lambda text: text.count("] asked") == 2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    os.close(ours)
    assert "KeyboardInterrupt" not in shown
    assert "\x1b" not in shown


def read_until(descriptor, condition):
    text = ""
    while not condition(text):
        text += os.read(descriptor, 1 << 16).decode()
    return text
