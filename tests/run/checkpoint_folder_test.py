"""Checkpoints in a bucket, and what is no damage of theirs."""

import os

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.run import checkpoint_folder
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.step import optimizers, progress
from sam_pod.step import state as state_lib
from sam_pod.storage import files
from tests import fixtures
from tests.step import state_test


@pytest.fixture
def state():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    return state_lib.create(strategy, fixtures.small_model(), optimizers.adam())


def test_a_bucket_is_a_folder(state, request, caplog):
    root = f"ram://{request.node.name}"
    directory = f"{root}/run/checkpoints"
    checkpoints = checkpoints_lib.Checkpoints(directory, state)
    assert not checkpoints.restore_latest()
    for number in (8, 9, 10):
        state_test.fill(state, number)
        checkpoints.save_best()
        checkpoints.save()
    state_test.fill(state, 11)
    assert checkpoints.restore_latest()
    state_test.assert_is(state, 10)
    parts = ("data-00000-of-00001", "index")
    kept = [f"ckpt-{number}-0.{part}" for number in (10, 9) for part in parts]
    assert files.names(directory) == sorted(["best", *kept])
    assert files.names(f"{directory}/best") == [f"ckpt-10-0.{part}" for part in parts]
    # What a save that was killed leaves, and a damaged newest one.
    files.write(f"{directory}/partial/ckpt-12-0.index", "")
    files.write(f"{directory}/ckpt-10-0.index", "damaged")
    assert checkpoints.restore_latest()
    state_test.assert_is(state, 9)
    assert "ckpt-10-0 cannot be read" in caplog.text
    state_test.fill(state, 10)
    checkpoints.save()
    state_test.fill(state, 11)
    assert checkpoints.restore_latest()
    state_test.assert_is(state, 10)
    assert "partial" not in files.names(directory)
    state_test.fill(state, 11)
    checkpoints.restore_best()
    for variable in (*state.weights, *state.stats):
        np.testing.assert_array_equal(variable.numpy(), 10)
    files.remove_folder(root)


def after(state, epochs):
    """Fill the state, as after so many steps and validations."""
    state_test.fill(state, epochs)
    state.write_progress(progress.Progress(validated_epochs=epochs))
    return state


def test_best_weights_that_the_newest_checkpoint_does_not_know_of_are_not_read(
    state, tmp_path
):
    """As of a run that was killed between both saves, and has not gone on."""
    saved = checkpoints_lib.Checkpoints(str(tmp_path), after(state, 1))
    saved.save_best()
    saved.wait()
    assert saved.has_best()  # All that there is.
    saved.save()
    after(state, 2)
    saved.save_best()
    saved.wait()
    paths = checkpoint_folder.best_paths(str(tmp_path))
    assert [os.path.basename(path) for path in paths] == ["ckpt-1-1"]
    saved.restore_best()
    np.testing.assert_array_equal(state.weights[0].numpy(), 1)


def test_best_weights_that_no_checkpoint_knows_of_are_forgotten(state, tmp_path):
    """As after a kill between both saves: the best before are still there."""

    def best():
        folder = tmp_path / "best"
        return sorted(path.name for path in folder.glob("*.index"))

    killed = checkpoints_lib.Checkpoints(str(tmp_path), after(state, 1))
    killed.save_best()
    killed.wait()
    assert best() == ["ckpt-1-1.index"]
    new = checkpoints_lib.Checkpoints(str(tmp_path), after(state, 0))
    assert not new.restore_latest()
    assert best() == []
    after(state, 1)
    new.save_best()
    new.save()
    after(state, 2)
    new.save_best()
    new.wait()
    assert best() == ["ckpt-1-1.index", "ckpt-2-2.index"]
    last = checkpoints_lib.Checkpoints(str(tmp_path), state)
    assert last.restore_latest()
    state_test.assert_is(state, 1)
    assert best() == ["ckpt-1-1.index"]
    after(state, 2)
    last.save_best()
    last.save()
    last.wait()
    # A damaged newest checkpoint takes its best weights with it.
    assert best() == ["ckpt-1-1.index", "ckpt-2-2.index"]
    (tmp_path / "ckpt-2-2.index").write_bytes(b"damaged")
    again = checkpoints_lib.Checkpoints(str(tmp_path), state)
    assert again.restore_latest()
    state_test.assert_is(state, 1)
    assert best() == ["ckpt-1-1.index"]
    for epoch in (2, 3):  # The last one is no better.
        after(state, epoch)
        if epoch == 2:
            again.save_best()
        again.save()
    again.wait()
    assert best() == ["ckpt-2-2.index"]


def test_storage_that_does_not_answer_is_no_damage(state, tmp_path, monkeypatch):
    checkpoints = checkpoints_lib.Checkpoints(str(tmp_path), state)
    checkpoints.save()
    checkpoints.wait()

    def read(*arguments):
        raise tf.errors.UnavailableError(None, None, "HTTP response code 503")

    monkeypatch.setattr(tf.train.Checkpoint, "read", read)
    with pytest.raises(tf.errors.UnavailableError):
        checkpoints.restore_latest()
    assert len(checkpoint_folder.paths(str(tmp_path))) == 1
