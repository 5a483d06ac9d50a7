"""A run as published tables have it: on all examples, with noise, by LAMB in steps."""

import glob
import itertools
import json
import math
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input import pipeline
from sam_pod.data.input.batches import Batch
from sam_pod.process import signals
from sam_pod.run import checkpoint_folder, curve, trained
from sam_pod.step import algorithm, metrics
from sam_pod.step import state as state_lib
from tests import fixtures, runs
from tests.training import StopAfter, run

CLASSES = 7
VALUES = {
    "num_epochs": 2,
    "data.validation": "none",
    "data.augment": "crop,flip,batch_cutout",
    "data.crop_fill": "reflect",
    "data.cutout_size": 3,
    "data.label_noise": 0.4,
    "data.label_noise_kind": "including",
    "optimizer.name": "lamb",
    "ema.decay": 0.5,
    "schedule.name": "step",
    "schedule.boundaries": "50%",
    "early_stopping.patience": 0,
    "early_stopping.restore_best_weights": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    noise = {"label_noise": 0.4, "label_noise_kind": "including"}
    fixtures.write_data(folder / "data", train=64, classes=CLASSES, **noise)
    runs.save_model(folder / "small.keras", classes=CLASSES)
    return folder


@pytest.fixture(scope="module")
def result(folder):
    return run(runs.small_config(folder, **VALUES), folder / "run")


def test_all_examples_train_and_nothing_looks_at_any_other(folder, result):
    assert result["steps"] == 2 * 64 // 16
    text = (folder / "run" / "result.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == result
    for name in ("final", "best"):
        for score in ("loss", "accuracy"):
            assert result[f"{name}_validation_{score}"] is None
    assert list(result["test_with"]) == ["last", "not_averaged"]
    assert result["test_with"]["last"] != result["test_with"]["not_averaged"]
    assert not (folder / "run" / "checkpoints" / "best").exists()
    values = runs.scalars(folder / "run")
    assert not [name for name in values if name.startswith("validation/")]
    points = curve.read(str(folder / "run"))
    assert [point.step for point in points] == [4, 8]
    assert all(math.isnan(p.validation_accuracy) for p in points)
    rates = [values["train/learning_rate"][step][0] for step in (4, 5)]
    assert rates == pytest.approx([0.01, 0.001])


def test_the_result_says_which_labels_are_wrong_and_counts_the_top_five(result):
    noise = result["label_noise"]
    assert (noise["rate"], noise["kind"], noise["seed"]) == (0.4, "including", 0)
    assert 0.4 < noise["clean_share"] < 0.9
    accuracy, top5 = result["test_accuracy"], result["test_top5_accuracy"]
    assert 0 <= accuracy <= top5 < 1 and top5 > 0.3
    last = result["test_with"]["last"]
    assert (last["accuracy"], last["top5_accuracy"]) == (accuracy, top5)


def test_what_is_read_of_such_a_run_is_the_average_that_was_tested(folder, result):
    read = trained.read(str(folder / "run"), "latest")
    average = runs.checkpoint_values(folder / "run")
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    state = state_lib.create(strategy, read.recipe.network, read.recipe.optimizer)
    state.write(read.checkpoint.values)
    part = {k: v for k, v in average.items() if k.startswith("average/weights")}
    for place, weight in enumerate(state.weights):
        name = f"average/weights/{place}/.ATTRIBUTES/VARIABLE_VALUE"
        np.testing.assert_array_equal(weight.numpy(), part[name])
    logits = []
    for images, labels, mask in _test_batches(read):
        batch = Batch(images, labels, mask)
        logits.append(algorithm.replica_evaluation(state.read(), batch, read.recipe))
    scores = metrics.evaluation_means(np.stack(logits))
    assert scores.loss == pytest.approx(result["test_loss"], rel=1e-5)
    assert scores.accuracy == pytest.approx(result["test_accuracy"])


def _test_batches(read):
    split = pipeline.splits(read.config.data.dir, read.data, 0)["test"]
    input_fn = pipeline.evaluation(split, global_batch_size=10)
    context = tf.distribute.InputContext(1, 0, 1)
    steps = pipeline.evaluation_steps(split, 10)
    return [b.tensors for b in itertools.islice(input_fn(context), steps)]


@pytest.mark.slow
def test_such_a_run_that_is_cut_short_ends_as_one_that_is_not(folder, result):
    config = runs.small_config(folder, **VALUES)
    stopped = folder / "stopped"
    for looks in (1, 2):
        with pytest.raises(signals.Interrupted):
            run(config, stopped, StopAfter(looks))
    # As a kill leaves it: what came after the save before has to be done again.
    paths = checkpoint_folder.paths(str(stopped / "checkpoints"))
    assert len(paths) == 2
    for file in glob.glob(f"{paths[-1]}.*"):
        os.remove(file)
    again = run(config, stopped)
    assert again["test_loss"] == result["test_loss"]
    assert again["test_with"] == result["test_with"]
    values = runs.checkpoint_values(stopped)
    assert any(name.startswith("average/") for name in values)
    runs.assert_equal_checkpoints(folder / "run", stopped)


@pytest.mark.slow
def test_the_average_of_a_run_that_is_killed_is_that_of_one_that_is_not(folder, result):
    """A real SIGKILL after a save of the middle, and the same command again."""
    config = runs.small_config(folder, **VALUES)
    config.checkpoint.every_seconds = 1e-3  # A save after each loop.
    recipe = runs.write_recipe(folder / "recipe.py", config)
    command = (f"--config={recipe}", f"--workdir={folder / 'killed'}")
    process = runs.Process(*command)
    saved = folder / "killed" / "checkpoints"
    while not checkpoint_folder.paths(str(saved)):
        process.assert_runs()
    assert process.kill() == -signal.SIGKILL
    newest = checkpoint_folder.paths(str(saved))[-1]
    assert 0 < runs.checkpoint_age(newest)[0] < result["steps"]
    code, lines, stderr = runs.main(*command)
    assert code == 0, stderr
    assert any("Continuing after step" in line for line in (*lines, stderr))
    values = runs.checkpoint_values(folder / "killed")
    assert any(name.startswith("average/") for name in values)
    runs.assert_equal_checkpoints(folder / "run", folder / "killed")
    killed = runs.result(folder / "killed")
    assert killed["test_with"] == result["test_with"]
