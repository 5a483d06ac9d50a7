"""A run as published tables have it: on all examples, with noise, by LAMB in steps."""

import json
import math

import pytest

from sam_pod.process import signals
from sam_pod.run import curve
from tests import fixtures, runs
from tests.train_test import StopAfter, run

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
    assert list(result["test_with"]) == ["last"]
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


@pytest.mark.slow
def test_such_a_run_that_is_stopped_ends_as_one_that_is_not(folder, result):
    config = runs.small_config(folder, **VALUES)
    stopped = folder / "stopped"
    for looks in (1, 2):
        with pytest.raises(signals.Interrupted):
            run(config, stopped, StopAfter(looks))
    again = run(config, stopped)
    assert again["test_loss"] == result["test_loss"]
    runs.assert_equal_checkpoints(folder / "run", stopped)
