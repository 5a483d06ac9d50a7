"""Checkpoints: whatever moment a save ends at, there is something to go on from."""

import glob
import os
import threading

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.run import checkpoint_folder
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.step import optimizers, progress
from sam_pod.step import state as state_lib
from tests import fixtures


class Killed(BaseException):
    """No handler and no clean-up of ours sees it: as if the process were gone."""


@pytest.fixture
def state():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    return state_lib.create(strategy, fixtures.small_model(), optimizers.adam())


def fill(state, number):
    state.step.assign(number)
    for variable in fixtures.all_variables(state)[1:]:
        variable.assign(tf.fill(variable.shape, float(number)))


def assert_is(state, number):
    for variable in fixtures.all_variables(state):
        np.testing.assert_array_equal(variable.numpy(), number)


def die_at(monkeypatch, name, call):
    """End the process at a call of an operation on files, before it is done."""
    original = getattr(os, name)
    calls = []

    def dying(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) == call:
            raise Killed
        return original(*arguments, **keywords)

    monkeypatch.setattr(os, name, dying)


MOMENTS = [("fsync", 1), ("fsync", 2), ("rename", 1), ("rename", 2), ("rmdir", 1)]


@pytest.mark.parametrize(("name", "call"), MOMENTS)
@pytest.mark.parametrize(
    "saved_before", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1)), 3]
)
def test_killed_within_a_save(state, tmp_path, monkeypatch, name, call, saved_before):
    directory = str(tmp_path / "checkpoints")
    checkpoints = checkpoints_lib.Checkpoints(directory, state)
    for number in range(1, saved_before + 1):
        fill(state, number)
        checkpoints.save()
    checkpoints.wait()
    fill(state, 9)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(patch, name, call)
        checkpoints.save()
        checkpoints.wait()
    fill(state, 77)
    whole = name == "rmdir"  # By then the index has its name.
    expected = 9 if whole else saved_before
    assert checkpoints_lib.Checkpoints(directory, state).restore_latest() == (
        expected > 0
    )
    assert_is(state, expected or 77)
    # The next save is none the worse for it, and sweeps up.
    fill(state, 10)
    checkpoints.save()
    fill(state, 77)
    assert checkpoints.restore_latest()
    assert_is(state, 10)
    assert not os.path.exists(f"{directory}/partial")
    assert len(glob.glob(f"{directory}/ckpt-*")) == 2 * min(2, saved_before + 1 + whole)


@pytest.mark.parametrize("call", [1, 2])
def test_killed_while_old_ones_are_deleted(state, tmp_path, monkeypatch, call):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    for number in (1, 2):
        fill(state, number)
        checkpoints.save()
    checkpoints.wait()
    fill(state, 3)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(patch, "remove", call)
        checkpoints.save()
        checkpoints.wait()
    for path in checkpoint_folder.paths(str(tmp_path)):  # What is listed is whole.
        tf.train.load_checkpoint(path).get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE")
    fill(state, 4)
    checkpoints.save()
    checkpoints.wait()
    assert len(list(tmp_path.glob("ckpt-*"))) == 4


def test_the_last_two_and_the_best_are_kept(state, tmp_path):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    for number in (1, 2, 3):
        fill(state, number)
        checkpoints.save_best()
        checkpoints.save()
    checkpoints.wait()
    assert sorted(p.name for p in tmp_path.glob("*.index")) == [
        "ckpt-2-0.index",
        "ckpt-3-0.index",
    ]
    assert [p.name for p in (tmp_path / "best").glob("*.index")] == ["ckpt-3-0.index"]


def test_before_and_after_a_validation_are_two_checkpoints(state, tmp_path):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    fill(state, 10)
    checkpoints.save()
    state.write_progress(progress.Progress(validated_epochs=1.0, best_loss=0.5))
    checkpoints.save()
    state.write_progress(progress.Progress())
    assert checkpoints.restore_latest()
    assert state.read_progress().best_loss == 0.5
    assert len(list(tmp_path.glob("*.index"))) == 2


def test_steps_are_ordered_as_numbers(state, tmp_path):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    for number in (9, 10):
        fill(state, number)
        checkpoints.save()
    assert checkpoints.restore_latest()
    assert_is(state, 10)


@pytest.mark.parametrize("damage", ["empty", "cut", "flip"])
@pytest.mark.parametrize(
    "part", ["data-00000-of-00001", pytest.param("index", marks=pytest.mark.slow)]
)
def test_a_damaged_newest_falls_back_and_is_saved_again(
    state, tmp_path, caplog, damage, part
):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    for number in (1, 2):
        fill(state, number)
        checkpoints.save()
    checkpoints.wait()
    file = tmp_path / f"ckpt-2-0.{part}"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 255
    file.write_bytes({"empty": b"", "cut": content[:middle], "flip": content}[damage])
    assert checkpoints.restore_latest()
    assert_is(state, 1)
    assert "ckpt-2-0 cannot be read" in caplog.text
    fill(state, 2)
    checkpoints.save()
    fill(state, 3)
    assert checkpoints.restore_latest()
    assert_is(state, 2)


def test_a_folder_that_cannot_be_written_is_the_users(state, tmp_path):
    (tmp_path / "file").write_text("")
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path / "file"), state)
    checkpoints.save()
    with pytest.raises(errors.UserError, match="Cannot write under"):
        checkpoints.wait()
    checkpoints.wait()  # It was said once.
    checkpoints.save()
    fill(state, 1)
    with pytest.raises(errors.UserError, match="Cannot write under"):
        checkpoints.save()
    (tmp_path / "file").unlink()
    checkpoints.save()
    assert checkpoints.restore_latest()


@pytest.fixture
def held(monkeypatch):
    """Yield an event that every write to the disk waits for."""
    release, add = threading.Event(), checkpoint_folder.add

    def add_later(*arguments, **keywords):
        assert release.wait(60)
        add(*arguments, **keywords)

    monkeypatch.setattr(checkpoint_folder, "add", add_later)
    yield release
    release.set()


def test_a_save_returns_at_once_and_writes_what_was_then(state, tmp_path, held):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    fill(state, 1)
    checkpoints.save()
    assert not checkpoint_folder.paths(str(tmp_path))
    for variable in fixtures.all_variables(state):
        variable.assign_add(tf.ones_like(variable))
    held.set()
    checkpoints.save_best()
    checkpoints.wait()
    assert checkpoints.restore_latest()
    assert_is(state, 1)
    fill(state, 7)
    checkpoints.restore_best()
    for variable in (*state.weights, *state.stats):
        np.testing.assert_array_equal(variable.numpy(), 2)


def test_the_copy_is_on_the_host_and_only_where_it_is_saved(state, tmp_path):
    device = "/job:localhost/replica:0/task:0/device:CPU:3"
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state, host_device=device)
    assert {v.device for v in tf.nest.flatten(vars(checkpoints._copy))} == {device}
    checkpoints.save()
    assert {v.device for v in tf.nest.flatten(vars(checkpoints._copy))} == {device}
    other = checkpoints_lib.Checkpoints(str(tmp_path / "other"), state, enabled=False)
    other.save()
    other.save_best()
    other.wait()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("part", ["weights", "stats"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_saved(state, tmp_path, part, value):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    variable = getattr(state, part)[-1]
    variable.assign(tf.tensor_scatter_nd_update(variable, [[0]], [value]))
    for save in (checkpoints.save, checkpoints.save_best):
        with pytest.raises(
            checkpoints_lib.NotFinite, match=variable.name.split(":")[0]
        ):
            save()
    checkpoints.wait()
    assert not list(tmp_path.iterdir())


def test_arrays_carry_everything_to_another_state(state):
    for i, variable in enumerate(tf.nest.flatten(vars(state))):
        variable.assign(tf.cast(tf.fill(variable.shape, i), variable.dtype))
    arrays = state_lib.to_arrays(state)
    strategy = fixtures.mirrored(2)
    other = state_lib.create(strategy, fixtures.small_model(), optimizers.adam())
    state_lib.assign_arrays(other, arrays)
    assert other.read_progress() == state.read_progress()
    pairs = zip(
        fixtures.all_variables(state), fixtures.all_variables(other), strict=True
    )
    for mine, theirs in pairs:
        (copies,) = fixtures.copies(strategy, [theirs])
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_array_equal(mine.numpy(), copy)
    with pytest.raises(ValueError):
        state_lib.assign_arrays(other, arrays[:-1])


def test_replicas_hold_the_same_and_restore_the_same(tmp_path):
    strategy = fixtures.mirrored(3)
    state = state_lib.create(strategy, fixtures.small_model(), optimizers.sgd())
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    fill(state, 4)
    checkpoints.save()
    fill(state, 5)
    assert checkpoints.restore_latest()
    for values in fixtures.copies(strategy, fixtures.all_variables(state)):
        assert len(values) == 3
        for value in values:
            np.testing.assert_array_equal(value, 4)
