"""What every test has: eight logical CPU devices, the --slow switch, a clean end.

Each test ends all threads and processes that it starts.
"""

import gc
import logging
import os
import pathlib
import signal
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["JAX_PLATFORMS"] = "cpu"
# For programs that sam_pod.lowering runs on virtual devices.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import pytest
import tensorflow as tf
from absl import logging as absl_logging


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the slow tests")


# Files that take minutes begin first: else one process ends with them, alone.
LONGEST = (
    "machines/workers_test.py",
    "main_test.py",
    "preflight/main_test.py",
    "pod_test.py",
    "pjrt/members_test.py",
    "pjrt/run_test.py",
    "study/kill_test.py",
    "train_test.py",
    "preflight/execution_test.py",
    "preflight/execution_faults_test.py",
    "step/members_test.py",
    "step/formulas_test.py",
    "step/algorithm_test.py",
    "step/random_parts_test.py",
    "s3_test.py",
    "kill_test.py",
    "ways_of_reading_test.py",
    "lowering/members_test.py",
    "step_tpu_test.py",
    "launch/tpu/main_test.py",
    "gcs_test.py",
    "machines/groups_test.py",
)
TESTS = pathlib.Path(__file__).parent


def _place(item):
    name = item.path.relative_to(TESTS).as_posix()
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(config, items):
    items.sort(key=_place)
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes: --slow runs it"))


def _freeze():
    """Let garbage collection look through nothing that stays."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish(session):
    del session
    _freeze()
    # Tracing makes and keeps objects by the thousand: 700, the usual, cost a tenth.
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """Freeze what a file leaves: late in a slow run it took a quarter."""
    yield
    if nextitem is None or nextitem.path != item.path:
        _freeze()


def pytest_configure(config):
    del config
    gc.disable()  # Until all tests are collected.
    # What a script's & and nohup let us ignore, all processes that tests start would. A
    # handler is not handed on, and this one goes on ignoring.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    # As our commands do: else the first SavedModel that a test writes hides what later
    # tests of its process wait for in the log (findings/saved_model_log.sh).
    absl_logging.set_verbosity(absl_logging.INFO)
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * 8
    tf.config.set_logical_device_configuration(cpu, devices)
    tf.config.experimental.enable_op_determinism()


# One thread for a process, which it keeps: sam_pod.process.watchdog's, and tqdm's.
KEPT_THREADS = {"watchdog", "tqdm_monitor"}
# One for a process as well, by a word of its command: Python's own of multiprocessing.
KEPT_PROCESSES = ("multiprocessing.resource_tracker",)
SECONDS_TO_END = 60  # For what was asked to end, and is about to.


def _children():
    """Return the processes that this one started and that nobody has waited for.

    None where there is no /proc.
    """
    found = set()
    for thread in pathlib.Path("/proc/self/task").glob("*"):
        try:
            found.update((thread / "children").read_text().split())
        except OSError:  # The thread has ended.
            continue
    return found


def _command(pid):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
    return words.replace("\0", " ") or "(ended, and nobody waited for it)"


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """Fail a test that leaves a thread or a process, which the next one would meet.

    Those of a fixture of a module or a session are there before.
    """
    threads, children = set(threading.enumerate()), _children()
    verbosity = logging.getLogger("absl").level
    yield
    deadline = time.monotonic() + SECONDS_TO_END
    left = []
    if logging.getLogger("absl").level != verbosity:
        left.append("another level of the log")
    begun = set(threading.enumerate()) - threads
    for thread in begun:
        if thread.name in KEPT_THREADS:
            continue
        while thread.is_alive() and time.monotonic() < deadline:
            gc.collect()  # A pool ends its threads when it goes; an error keeps it.
            thread.join(0.5)
        if thread.is_alive():
            left.append(f"thread {thread.name}")
    for pid in _children() - children:
        command = _command(pid)
        if command and not any(word in command for word in KEPT_PROCESSES):
            left.append(f"process {pid}: {command}")
    assert not left, f"The test leaves {left}"
