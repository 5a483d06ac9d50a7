"""Processes that count steps and save, or write points of TensorBoard, without end.

All values are coded by their step, and go on changing while a save is written.
"""

import itertools
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.machines import runtime
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.run import event_files, writers
from sam_pod.step import metrics
from sam_pod.step import state as state_lib
from sam_pod.storage import files

ROOT = pathlib.Path(__file__).parent.parent
SHAPES = [(400, 1000), (7,), (300, 1000), (3, 5)]
# Importing TensorFlow takes seconds; a fork that has not used it yet may do so alone.
COUNTERS = """
import os, sys
from tests import counting

for line in sys.stdin:
    if pid := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    else:
        name, *arguments = line.split()
        getattr(counting, name)(*arguments)
        sys.exit()
"""


def count(directory, saves):
    """Count on from the newest checkpoint, saving twice at each turn."""
    state = make_state()
    step = compile_step(state)
    checkpoints = checkpoints_lib.Checkpoints(directory, state)
    checkpoints.restore_latest()
    print("Counting as", os.getpid(), flush=True)
    for _ in itertools.count() if saves == "all" else range(int(saves)):
        step()
        checkpoints.save_best()
        step()
        checkpoints.save()


def write_points(directory, saves):
    """Write points on from the last step noted, and note one at each turn."""
    noted = files.read(f"{directory}/noted")
    step, validated = map(int, (noted or "0 0").split())
    last = event_files.limits(step, validated, None) if noted else event_files.NOTHING
    event_files.cut(directory, last)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    writer = writers.Writer(directory, runtime.of(strategy))
    if not noted:
        writer.contact_sheet(np.zeros((4, 4, 3), np.uint8), "labels")
    print("Counting as", os.getpid(), flush=True)
    for turn in itertools.count() if saves == "all" else range(int(saves)):
        if turn % 3 == 2:  # A validation, after a save of the same step or without one.
            scores = metrics.Evaluation(step, step, 1)
            writer.evaluation("validation", step, scores)
            validated = step
        else:
            writer.steps(step + 1, step + np.ones((9, len(metrics.TRAIN))))
            step += 9
        writer.flush()
        files.write(f"{directory}/noted", f"{step} {validated}")
    writer.close()


def make_state():
    """Return a state of several files' worth of blocks, at step 0."""
    with tf.device("/cpu:0"):
        weights = [tf.Variable(code(0, shape)) for shape in SHAPES]
        return state_lib.TrainState(
            step=tf.Variable(0, dtype=tf.int64),
            weights=weights,
            stats=[tf.Variable(code(0, (11,)))],
            slots={"momentum": [tf.Variable(w) for w in weights]},
            memory={
                "direction": [tf.Variable(w) for w in weights],
                "filled": [tf.Variable(1.0)],
            },
            progress={
                name: tf.Variable(0.0) for name in ("validated_epochs", "seconds")
            },
        )


def counted(state):
    """Return what of a state is coded by the step."""
    kept = (state.slots["momentum"], state.memory["direction"])
    return [*state.weights, *state.stats, *kept[0], *kept[1]]


def code(step, shape):
    """Return an array that no other step has, nor a mixture of two."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 1009 + step


def compile_step(state):
    """Return what counts all values up, in place."""

    @tf.function
    def step():
        state.step.assign_add(1)
        for variable in counted(state):
            variable.assign_add(tf.ones_like(variable))

    return step


class Counter:
    """A process that counts; it ends with its context, whatever fails in that."""

    def __init__(self, counters, directory, saves="all", name="count"):
        self._counters = counters
        counters.stdin.write(f"{name} {directory} {saves}\n")
        counters.stdin.flush()
        begun = counters.stdout.readline()
        assert begun.startswith("Counting as"), f"It ended with {begun}"
        self.pid = int(begun.split()[-1])
        self._ended = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._ended is None:
            self.kill()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def stop(self):
        """Stop the process where it is, until it is killed or goes on."""
        os.kill(self.pid, signal.SIGSTOP)
        status = pathlib.Path(f"/proc/{self.pid}/stat")
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            pass

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)

    def assert_alive(self):
        os.kill(self.pid, 0)  # Raises ProcessLookupError.

    def wait(self):
        self._ended = int(self._counters.stdout.readline())
        return self._ended


@pytest.fixture(scope="module")
def counters():
    process = subprocess.Popen(
        [sys.executable, "-c", COUNTERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    yield process
    os.killpg(process.pid, signal.SIGKILL)  # With a counter that a failure left.
    process.communicate()
