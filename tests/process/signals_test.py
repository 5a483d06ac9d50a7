"""Signals to a real process that is busy for good; errors that mean a loss."""

import contextlib
import signal
import subprocess
import sys

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import lost
from sam_pod.process import signals
from tests import runs

BUSY = """
import threading
from absl import logging
from sam_pod.process import signals as interrupts
logging.set_verbosity(logging.INFO)
stop = interrupts.watch()
print("watching", flush=True)
stop.wait()
print("asked to stop", flush=True)
threading.Event().wait()  # As a compiled loop that has long to go.
"""


def start(code=BUSY):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=runs.ROOT,
        preexec_fn=runs.expect_all_signals,
    )


@pytest.fixture
def busy():
    process = start()
    assert process.stdout.readline() == "watching\n"
    yield process
    process.kill()
    process.communicate()


STOPS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1),
    *(signal.SIGUSR2, signal.SIGALRM, signal.SIGXCPU, signal.SIGPWR),
)


def test_every_signal_of_a_scheduler_or_terminal_asks_to_stop():
    with contextlib.ExitStack() as stack:
        processes = {number: stack.enter_context(start()) for number in STOPS}
        for number, process in processes.items():
            assert process.stdout.readline() == "watching\n"
            process.send_signal(number)
        for number, process in processes.items():
            assert process.stdout.readline() == "asked to stop\n", number
            process.kill()
            assert f"{number.name}: saving" in process.stderr.read()


# A parent that ignores some, as nohup does, and then is the program.
IGNORING = f"""
import os, signal, sys
for name in ("SIGHUP", "SIGUSR1", "SIGINT"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-c", {BUSY!r}])
"""


def test_what_the_parent_ignores_stays_ignored_but_for_an_interrupt():
    with start(IGNORING) as process:
        assert process.stdout.readline() == "watching\n"
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            process.send_signal(number)
        assert process.stdout.readline() == "asked to stop\n"
        process.kill()
        assert "SIGINT: saving" in process.stderr.read()


def test_the_kernels_repeated_word_of_the_cpu_limit_is_one_request():
    assert not signals.is_second(signal.SIGXCPU, 3600.0)
    assert signals.is_second(signal.SIGTERM, 1.0)
    assert not signals.is_second(signal.SIGTERM, 0.9)


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


@pytest.mark.parametrize(
    ("kind", "words", "is_lost"),
    [
        (tf.errors.UnavailableError, "Socket closed", True),
        (tf.errors.AbortedError, "different device incarnation", True),
        (tf.errors.DeadlineExceededError, "", True),
        (tf.errors.InternalError, "Connection reset by peer", True),
        (tf.errors.CancelledError, "Collective ops is aborted by: x", True),
        (tf.errors.InternalError, "blas failed", False),
        (tf.errors.InvalidArgumentError, "Socket closed", False),
        (tf.errors.ResourceExhaustedError, "out of memory", False),
    ],
)
def test_which_errors_mean_a_lost_worker(kind, words, is_lost):
    assert lost.is_lost_worker(kind(None, None, words)) == is_lost


@pytest.mark.parametrize(
    ("words", "is_lost"),
    [
        ("INTERNAL: Gloo all-reduce failed: Connection closed by peer", True),
        ("UNAVAILABLE: a task has not been heard of", True),
        ("DEADLINE_EXCEEDED: the barrier", True),
        ("INTERNAL: this does not compile", False),
        ("RESOURCE_EXHAUSTED: out of memory", False),
        ("INVALID_ARGUMENT: it is UNAVAILABLE: here", False),
    ],
)
def test_which_errors_of_jax_mean_a_lost_process(words, is_lost):
    # Of this name in JAX 0.10; tests/pjrt/hosts_test.py loses real ones.
    kind = type("JaxRuntimeError", (RuntimeError,), {})
    assert lost.is_lost_worker(kind(words)) == is_lost


@pytest.mark.parametrize(
    ("kind", "is_lost"), [(ValueError, True), (errors.UserError, False)]
)
def test_an_error_of_jax_may_be_pythons_and_is_not_the_users(kind, is_lost):
    error = kind("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")
    assert lost.is_lost_worker(error) == is_lost
    assert not lost.is_lost_worker(ValueError("a shape that does not fit"))


def test_the_reason_of_a_loss_is_the_line_that_tells():
    text = "Graph execution error:\n\n  File x\n\nCollective ops is aborted by: y\nmore"
    error = tf.errors.UnavailableError(None, None, text)
    assert lost.reason_of_loss(error) == "Collective ops is aborted by: y"
    assert lost.reason_of_loss(ValueError("a\n b")) == "a b"


ANEW = """
import os, signal, sys
from sam_pod.process import command; from sam_pod.process import signals as interrupts

def action(check):
    try:
        print("working", flush=True)
        signal.pause()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # The same request once more.
        print("cleaned up", flush=True)

sys.exit(command.run_at_once(action))
"""


def test_one_request_may_come_twice_to_what_is_done_anew():
    process = subprocess.Popen(
        [sys.executable, "-c", ANEW],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=runs.ROOT,
    )
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=600)
    assert (process.returncode, stdout) == (signals.EXIT_CODE, "cleaned up\n")
    assert stderr == "Interrupted: the same command starts it again.\n"
