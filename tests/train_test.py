"""A run in this process: what it writes, how it stops, continues and ends."""

import dataclasses
import glob
import hashlib
import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.models import network, table
from sam_pod.process import signals
from sam_pod.run import checkpoints, curve, event_files
from sam_pod.sam import variant
from sam_pod.step import metrics
from tests import runs, training


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return (folder, workdir, result) of one uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    workdir = folder / "run"
    return folder, workdir, training.run(runs.small_config(folder), workdir)


def test_the_workdir_holds_what_the_design_says(whole):
    folder, workdir, result = whole
    config = runs.small_config(folder)
    assert (workdir / "config.json").read_text() == config_lib.to_json(config)
    inputs = json.loads((workdir / "inputs.json").read_text())
    model = pathlib.Path(config.model.name).read_bytes()
    assert inputs == {
        "data.dir": manifest_lib.read(config.data.dir).digest(),
        "model.name": hashlib.sha256(model).hexdigest(),
    }
    assert runs.result(workdir) == result
    steps, epochs = result["steps"], result["epochs"]
    assert sorted(os.listdir(workdir / "checkpoints")) == sorted(
        ["best"]
        + [
            f"ckpt-{steps - 5 * ago}-{epochs - ago}.{end}"
            for ago in (0, 1)
            for end in ("index", "data-00000-of-00001")
        ]
    )
    losses = [point.validation_loss for point in curve.read(str(workdir))]
    known = {int(np.argmin(losses[: epochs - ago])) + 1 for ago in (0, 1)}
    assert max(known) == result["best_epoch"]
    best = glob.glob(f"{workdir}/checkpoints/best/*.index")
    assert set(map(runs.checkpoint_age, best)) == {(5 * n, n) for n in known}


def test_the_result_is_complete_and_true(whole):
    folder, workdir, result = whole
    values = runs.scalars(workdir)
    assert result["epochs"] * 5 == result["steps"]
    validation = values["validation/accuracy"]
    losses = values["validation/loss"]
    best_step = min(losses, key=lambda s: losses[s][0])
    assert result["best_epoch"] * 5 == best_step
    assert result["best_validation_accuracy"] == validation[best_step][0]
    assert result["final_validation_accuracy"] == validation[result["steps"]][0]
    assert values["test/accuracy"] == {
        result["steps"]: [pytest.approx(result["test_accuracy"])]
    }
    assert result["test_examples"] == 30
    assert result["parameters"] == result["trainable_parameters"] + 16
    assert result["trainable_parameters"] == 3 * 3 * 3 * 8 + 8 + 16 + 8 * 4 + 4
    assert result["examples_per_second"] == pytest.approx(
        result["steps"] * 16 / result["seconds"]
    )
    assert result["config_digest"] == config_lib.digest(runs.small_config(folder))
    assert result["versions"]["tensorflow"] == tf.__version__
    assert (result["replicas"], result["workers"], result["changes"]) == (1, 1, [])
    assert (result["ascent_examples"], result["batch_norm_examples"]) == (16, 16)


@pytest.mark.parametrize(
    ("which", "checkpoints"), [("best", "checkpoints/best"), ("last", "checkpoints")]
)
def test_the_test_set_is_read_with_the_best_weights_and_the_last(
    whole, which, checkpoints
):
    """Keras itself evaluates the saved weights, image by image."""
    folder, workdir, result = whole
    config = runs.small_config(folder)
    saved = runs.checkpoint_values(workdir, checkpoints)
    model = table.build(config.model.name, (8, 8, 3), 4).model
    net = network.Network(model)
    for part, names in (("weights", net.initial_weights()), ("stats", None)):
        variables = model.trainable_variables if names else net._stats
        for i, variable in enumerate(variables):
            variable.assign(saved[f"{part}/{i}/.ATTRIBUTES/VARIABLE_VALUE"])
    rng = np.random.default_rng(0)
    for count in (100, 30):  # As fixtures.write_data draws them.
        images = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        labels = rng.integers(0, 4, count)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = 0, np.arange(30)
    logits = model(images.astype(np.float32) / 255, training=False).numpy()
    scores = result["test_with"][which]
    assert scores["accuracy"] == (logits.argmax(1) == labels).mean()
    losses = keras.losses.sparse_categorical_crossentropy(labels, logits, True)
    assert scores["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    if which == "best":  # As the recipe asks.
        told = {"accuracy": result["test_accuracy"], "loss": result["test_loss"]}
        assert scores == told


@pytest.mark.slow
def test_the_best_checkpoint_is_of_the_best_epoch_not_the_last(tmp_path, caplog):
    config = runs.small_config(tmp_path, num_epochs=12)
    with caplog.at_level("INFO", logger="absl"):
        result = training.run(config, tmp_path / "run")
    best, last = result["best_epoch"], result["epochs"]
    assert f"Early stopping after epoch {last} of 12: the" in caplog.text
    assert f"of the weights of epoch {best}, the best" in caplog.text
    assert result["best_epoch"] == result["epochs"] - config.early_stopping.patience
    (best,) = glob.glob(f"{tmp_path}/run/checkpoints/best/*.index")
    best_epoch = result["best_epoch"]
    assert runs.checkpoint_age(best) == (best_epoch * 5, best_epoch)


def test_every_metric_is_written_at_every_step(whole):
    _, workdir, result = whole
    values = runs.scalars(workdir)
    for name in metrics.TRAIN:
        assert list(values[name]) == list(range(1, result["steps"] + 1)), name
    assert list(values["validation/loss"]) == list(range(5, result["steps"] + 1, 5))
    assert max(values[metrics.EXAMPLES_PER_SECOND]) == result["steps"]
    for step, (rho,) in values["train/rho"].items():
        assert rho == np.float32(0.05), step


def test_tensorboard_has_config_overview_and_hyper_parameters(whole):
    _, workdir, _ = whole
    texts, plugins = {}, set()
    for path in glob.glob(f"{workdir}/events*"):
        for record in tf.data.TFRecordDataset(path):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                plugins.add(value.metadata.plugin_data.plugin_name)
                if value.metadata.plugin_data.plugin_name == "text":
                    texts[value.tag] = str(tf.make_ndarray(value.tensor))
    assert "global_batch_size" in texts["config"]
    assert "conv2d" in texts["parameter_overview"]
    assert "hparams" in plugins
    of_others = {f"train/{name}" for name in variant.METRICS}
    of_others |= {"validation/top5_accuracy", "test/top5_accuracy"}  # Of 4 classes.
    assert {tag for tag, _ in runs.points(workdir)} == event_files.TAGS - of_others


@pytest.mark.parametrize("looks", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_stopped_anywhere_and_continued_it_is_the_same_run(whole, tmp_path, looks):
    """Stops between loops, in validation and in the test; the data may move."""
    folder, workdir, expected = whole
    config = runs.small_config(folder)
    again = tmp_path / "run"
    stops = 0
    for _ in range(30):
        try:
            result = training.run(config, again, training.StopAfter(looks))
            break
        except signals.Interrupted:
            stops += 1
            looks += 1  # Ever later, so that it ends.
    assert stops > 0
    runs.assert_equal_results(expected, result)
    runs.assert_equal_checkpoints(workdir, again)
    runs.assert_equal_checkpoints(workdir, again, "checkpoints/best")
    runs.assert_equal_scalars(workdir, again)


@pytest.mark.slow
def test_points_that_no_checkpoint_knew_of_are_there_once(whole, tmp_path, monkeypatch):
    """Killed when all is written but the checkpoint: after the validation, too."""
    folder, workdir, _ = whole
    config = runs.small_config(folder)
    again = tmp_path / "run"
    original = checkpoints.Checkpoints.save
    for saves in (0, 0, 3):
        left = iter(range(saves))

        def killed(self, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            original(self)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints.Checkpoints, "save", killed)
            with pytest.raises(KeyboardInterrupt):
                training.run(config, again)
    assert_ends_where_it_is_saved(folder, again, tmp_path / "short")
    training.run(config, again)
    runs.assert_equal_scalars(workdir, again)
    runs.assert_equal_points(workdir, again)


def assert_ends_where_it_is_saved(folder, workdir, copy):
    """Check that a run which goes no further has no epoch beyond its checkpoint."""
    shutil.copytree(workdir, copy)
    saved = map(runs.checkpoint_age, glob.glob(f"{copy}/checkpoints/*.index"))
    epochs = max(epochs for _, epochs in saved)
    assert curve.read(str(copy))[-1].epoch == epochs + 1
    config = runs.small_config(folder, num_epochs=epochs)
    result = training.run(config, copy, accepted=["num_epochs"])
    assert curve.read(str(copy))[-1].epoch == result["epochs"] == epochs


@pytest.mark.slow
def test_a_corrupt_newest_checkpoint_falls_back_to_the_one_before(
    whole, tmp_path, caplog
):
    folder, workdir, expected = whole
    again = tmp_path / "run"
    shutil.copytree(workdir, again)
    (again / "result.json").unlink()
    newest = f"ckpt-{expected['steps']}-{expected['epochs']}"
    damaged = again / "checkpoints" / f"{newest}.data-00000-of-00001"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with caplog.at_level("INFO", logger="absl"):
        result = training.run(runs.small_config(folder), again)
    assert f"{newest} cannot be read" in caplog.text
    assert f"Continuing after step {expected['steps'] - 5}/" in caplog.text
    assert result["test_loss"] == expected["test_loss"]
    runs.assert_equal_checkpoints(workdir, again)
    runs.assert_equal_scalars(workdir, again)
    runs.assert_equal_points(workdir, again)


def test_no_readable_checkpoint_is_an_error_not_a_fresh_start(whole, tmp_path):
    folder, workdir, _ = whole
    again = tmp_path / "run"
    shutil.copytree(workdir, again)
    (again / "result.json").unlink()
    for path in glob.glob(f"{again}/checkpoints/*.index"):
        open(path, "w").close()
    with pytest.raises(errors.UserError, match="None of the 2 checkpoints"):
        training.run(runs.small_config(folder), again)


def test_a_missing_best_checkpoint_is_an_error(whole, tmp_path):
    folder, workdir, _ = whole
    again = tmp_path / "run"
    shutil.copytree(workdir, again)
    (again / "result.json").unlink()
    shutil.rmtree(again / "checkpoints" / "best")
    with pytest.raises(errors.UserError, match=r"best checkpoint in .*cannot be read"):
        training.run(runs.small_config(folder), again)


@pytest.mark.slow
def test_a_run_trained_for_longer_is_as_if_it_had_been_to_last_so_long(whole, tmp_path):
    """With a schedule that does not look at the end, as this one's plateau rule."""
    folder, workdir, expected = whole
    short = runs.small_config(folder, num_epochs=2)
    first = training.run(short, tmp_path)
    assert (first["epochs"], expected["epochs"]) == (2, 4)
    longer = runs.small_config(folder)
    # Interrupted on its way, it keeps the old result and needs no further consent.
    with pytest.raises(signals.Interrupted):
        training.run(longer, tmp_path, training.StopAfter(1), accepted=["num_epochs"])
    assert runs.result(tmp_path) == first
    result = training.run(longer, tmp_path)
    assert runs.result(tmp_path) == result
    runs.assert_equal_results(expected, result)
    runs.assert_equal_checkpoints(workdir, tmp_path)
    runs.assert_equal_checkpoints(workdir, tmp_path, "checkpoints/best")
    assert points_without_time(workdir) == points_without_time(tmp_path)


def points_without_time(workdir):
    points = curve.read(str(workdir))
    return [dataclasses.replace(p, seconds=0, input_wait=0) for p in points]


def test_the_curve_says_what_the_events_say_and_what_was_spent(whole):
    _, workdir, result = whole
    points, values = curve.read(str(workdir)), runs.scalars(workdir)
    assert [p.epoch for p in points] == [1, 2, 3, 4]
    for point in points:
        assert point.step == 5 * point.epoch
        assert point.gradients == 2 * point.step  # SAM's two.
        assert [point.validation_loss] == values["validation/loss"][point.step]
        assert [point.validation_accuracy] == values["validation/accuracy"][point.step]
        assert 0 <= point.input_wait <= 1
    seconds = [p.seconds for p in points]
    assert seconds == sorted(seconds) and seconds[-1] <= result["seconds"]
    assert result["gradients"] == points[-1].gradients
