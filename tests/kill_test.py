"""Kills in the middle of saves: the newest whole checkpoint is always there.

Real processes count steps and save without end. All values are coded by their step,
and go on changing while a save is written.
"""

import contextlib
import glob
import itertools
import os
import pathlib
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.machines import runtime
from sam_pod.run import checkpoint_folder, event_files, writers
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.step import metrics
from sam_pod.step import state as state_lib
from sam_pod.storage import files
from tests import runs

ROOT = pathlib.Path(__file__).parent.parent
SHAPES = [(400, 1000), (7,), (300, 1000), (3, 5)]
# Importing TensorFlow takes seconds; a fork that has not used it yet may do so alone.
COUNTERS = """
import os, sys
from tests import kill_test

for line in sys.stdin:
    if pid := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    else:
        name, *arguments = line.split()
        getattr(kill_test, name)(*arguments)
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


def assert_is_at(values, step):
    """Check {key: array} of a checkpoint, or of its best."""
    for key, value in values.items():
        if key.startswith(("weights", "stats", "slots", "memory/direction")):
            np.testing.assert_array_equal(value, code(step, value.shape), err_msg=key)


def read(path):
    reader = tf.train.load_checkpoint(path)
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names}


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


def partial(directory):
    """Return what is in the folder of an unfinished save; None without one."""
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(os.path.join(directory, "partial"))
    return None


MISSES = 8  # Saves.
# When to kill, by what a save has written so far.
MOMENTS = {
    "begun": lambda files: files is not None,
    "writing": lambda files: bool(files),
    "written": lambda files: any(f.endswith(".index") for f in files or []),
    "renaming": lambda files: (
        any(f.endswith(".index") for f in files or [])
        and not any(".data" in f for f in files)
    ),
}


def kill(counter, directory, moment, saves_before):
    """Kill at the moment within a later save; return whether it was still within.

    A moment that is shorter than a look at it may be missed in many saves: then any.
    """
    for _ in range(saves_before):
        wait_for_a_save(counter, directory)
    for _ in range(MISSES):
        if wait_for_a_save(counter, directory, MOMENTS[moment]):
            break
    counter.kill()
    return partial(directory) is not None


def wait_for_a_save(counter, directory, moment=lambda files: False):
    """Wait for the end of a save, or for a moment; return whether that came."""
    seen = checkpoint_folder.paths(directory)[-1:]
    while not (reached := moment(partial(directory))):
        if checkpoint_folder.paths(directory)[-1:] != seen:
            return False
        counter.assert_alive()
    return reached


def check(directory):
    """Check all that is listed, and that the newest restores; return its step."""
    paths = checkpoint_folder.paths(directory)
    for path in paths:
        values = read(path)
        step = values["step/.ATTRIBUTES/VARIABLE_VALUE"]
        assert os.path.basename(path) == f"ckpt-{step}-0"
        assert_is_at(values, step)
    for path in checkpoint_folder.paths(f"{directory}/best"):
        assert_is_at(read(path), int(path.split("-")[-2]))
    state = make_state()
    whole = checkpoints_lib.Checkpoints(directory, state).restore_latest()
    assert whole == bool(paths)
    step = int(state.step.numpy())
    for variable in counted(state):
        np.testing.assert_array_equal(variable.numpy(), code(step, variable.shape))
    return step


@pytest.mark.parametrize("kills", [4, pytest.param(24, marks=pytest.mark.slow)])
def test_a_kill_within_a_save_loses_nothing_that_was_whole(counters, tmp_path, kills):
    directory = str(tmp_path / "checkpoints")
    steps, within = [0], 0
    for number in range(kills):
        moment = list(MOMENTS)[number % len(MOMENTS)]
        # Every other time within a save of the best.
        folder = directory if number // len(MOMENTS) % 2 else f"{directory}/best"
        with Counter(counters, directory) as counter:
            within += kill(counter, folder, moment, saves_before=number % 3)
        steps.append(check(directory))
    assert steps == sorted(steps)
    assert steps[-1] > kills // 2
    assert within >= kills // 2


def test_the_end_of_the_process_waits_for_the_last_save(counters, tmp_path):
    assert Counter(counters, tmp_path, saves=2).wait() == 0
    assert [os.path.basename(p) for p in checkpoint_folder.paths(str(tmp_path))] == [
        "ckpt-2-0",
        "ckpt-4-0",
    ]
    assert check(str(tmp_path)) == 4
    assert not (tmp_path / "partial").exists()


def beyond(directory):
    """Return how many points are there that a run will write again."""
    step, validated = map(int, (files.read(f"{directory}/noted") or "-1 -1").split())
    limits = {"train": step, "validation": validated}
    found = 0
    for path in glob.glob(f"{directory}/events*"):
        # What of it is torn has no whole points.
        with contextlib.suppress(tf.errors.DataLossError):
            for event in tf.compat.v1.train.summary_iterator(path):
                for value in event.summary.value:
                    found += event.step > limits[value.tag.partition("/")[0]]
    return found


@pytest.mark.parametrize("kills", [6, pytest.param(24, marks=pytest.mark.slow)])
def test_each_step_is_once_in_the_event_files_whenever_it_is_killed(
    counters, tmp_path, kills
):
    chance = random.Random(kills)
    again = 0
    for number in range(kills):
        with Counter(counters, tmp_path, name="write_points") as counter:
            for _ in range(chance.randrange(4)):
                seen = files.read(f"{tmp_path}/noted")
                while files.read(f"{tmp_path}/noted") == seen:
                    counter.assert_alive()
            # Anywhere, or when the points are on the disk and the note is not.
            for _ in range(chance.randrange(10_000)):
                pass
            if number % 2:
                while not any(tmp_path.glob(".partial-*")):
                    counter.assert_alive()
            counter.kill()
        for path in tmp_path.glob(".partial-*"):
            path.unlink()
        again += beyond(tmp_path)
    assert Counter(counters, tmp_path, 9, "write_points").wait() == 0
    points = runs.points(tmp_path)
    assert len(points) == len(set(points))
    steps = [step for tag, step in points if tag == "train/loss"]
    assert sorted(steps) == list(range(1, max(steps) + 1))
    assert again > kills, "Hardly any was killed within its work."
