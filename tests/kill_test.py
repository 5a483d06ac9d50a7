"""Kills in the middle of saves: the newest whole checkpoint is always there.

Real processes count steps and save without end (counting.py).
"""

import contextlib
import glob
import os
import random

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.run import checkpoint_folder
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.storage import files
from tests import counting, runs

counters = counting.counters


def assert_is_at(values, step):
    """Check {key: array} of a checkpoint, or of its best."""
    for key, value in values.items():
        if key.startswith(("weights", "stats", "slots", "memory/direction")):
            np.testing.assert_array_equal(
                value, counting.code(step, value.shape), err_msg=key
            )


def read(path):
    reader = tf.train.load_checkpoint(path)
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names}


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
            counter.stop()
            if partial(directory) is not None:
                break
            counter.go_on()
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
    state = counting.make_state()
    whole = checkpoints_lib.Checkpoints(directory, state).restore_latest()
    assert whole == bool(paths)
    step = int(state.step.numpy())
    for variable in counting.counted(state):
        np.testing.assert_array_equal(
            variable.numpy(), counting.code(step, variable.shape)
        )
    return step


@pytest.mark.parametrize("kills", [4, pytest.param(24, marks=pytest.mark.slow)])
def test_a_kill_within_a_save_loses_nothing_that_was_whole(counters, tmp_path, kills):
    directory = str(tmp_path / "checkpoints")
    steps, within = [0], 0
    for number in range(kills):
        moment = list(MOMENTS)[number % len(MOMENTS)]
        # Every other time within a save of the best.
        folder = directory if number // len(MOMENTS) % 2 else f"{directory}/best"
        with counting.Counter(counters, directory) as counter:
            within += kill(counter, folder, moment, saves_before=number % 3)
        steps.append(check(directory))
    assert steps == sorted(steps)
    assert steps[-1] > kills // 2
    assert within >= kills // 2


def test_the_end_of_the_process_waits_for_the_last_save(counters, tmp_path):
    assert counting.Counter(counters, tmp_path, saves=2).wait() == 0
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


def stop_within_a_note(counter, directory):
    """Stop where points are on the disk, and the note of them is not."""
    while True:
        while not any(directory.glob(".partial-*")):
            counter.assert_alive()
        counter.stop()
        if any(directory.glob(".partial-*")):
            return
        counter.go_on()


@pytest.mark.parametrize("kills", [6, pytest.param(14, marks=pytest.mark.slow)])
def test_each_step_is_once_in_the_event_files_whenever_it_is_killed(
    counters, tmp_path, kills
):
    chance = random.Random(kills)
    again = []
    for number in range(kills):
        with counting.Counter(counters, tmp_path, name="write_points") as counter:
            for _ in range(chance.randrange(4)):
                seen = files.read(f"{tmp_path}/noted")
                while files.read(f"{tmp_path}/noted") == seen:
                    counter.assert_alive()
            # Anywhere, or when the points are on the disk and the note is not.
            for _ in range(chance.randrange(10_000)):
                pass
            if number % 2:
                stop_within_a_note(counter, tmp_path)
            counter.kill()
        for path in tmp_path.glob(".partial-*"):
            path.unlink()
        again.append(beyond(tmp_path))
    assert counting.Counter(counters, tmp_path, 9, "write_points").wait() == 0
    points = runs.points(tmp_path)
    assert len(points) == len(set(points))
    steps = [step for tag, step in points if tag == "train/loss"]
    assert sorted(steps) == list(range(1, max(steps) + 1))
    assert all(again[1::2])
