"""A run that is measured while it trains: the same steps, and the command's figures."""

import glob
import os
import shutil
import threading

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import rules
from sam_pod.instruments import eigenvalues, job, subject
from sam_pod.instruments.plan import Plan
from sam_pod.machines import runtime
from sam_pod.process import signals
from sam_pod.run import checkpoint_folder
from tests import fixtures, runs, training

FIRST, TRACE = "sharpness/eigenvalue_1", "sharpness/trace"


def small_config(folder, **more):
    """Return a config of two epochs of five steps, measured after each."""
    model = folder / "small.keras"
    if not model.exists():
        fixtures.small_model(shape=(8, 8, 3), classes=4).model.save(model)
    values = {
        "num_epochs": 2,
        "model.name": str(model),
        "sharpness.every_epochs": 1,
        "sharpness.examples": 40,
        "sharpness.iterations": 6,
        **more,
    }
    return runs.small_config(folder, **values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def watched(folder):
    more = {"sharpness.measures": "eigenvalues,trace"}
    training.run(small_config(folder, **more), folder / "watched")
    return folder / "watched"


@pytest.mark.slow
def test_it_takes_the_same_steps_and_finds_what_the_command_does(folder, watched):
    alone = folder / "alone"
    training.run(small_config(folder, **{"sharpness.every_epochs": 0}), alone)
    runs.assert_equal_checkpoints(alone, watched)
    found = runs.scalars(watched)
    assert sorted(found[FIRST]) == sorted(found[TRACE]) == [5, 10]
    assert FIRST not in runs.scalars(alone)
    plan = Plan(("eigenvalues", "trace"), examples=40, iterations=6)
    point = job.measure(
        str(alone),
        subject.read_config(str(alone)),
        subject.points(str(alone), ["last"]),
        plan,
        runtime.of(tf.distribute.OneDeviceStrategy("/cpu:0")),
    )["points"]["last"]
    largest = point["eigenvalues"]["largest"][0]
    assert found[FIRST][10] == [pytest.approx(largest, rel=1e-5)]
    assert found[TRACE][10] == [pytest.approx(point["trace"]["trace"], rel=1e-5)]


@pytest.mark.slow
def test_a_stop_within_a_measurement_is_obeyed_and_the_epoch_measured_later(
    folder, watched, monkeypatch
):
    stop, find = threading.Event(), eigenvalues.find

    def stopped(*arguments, **more):
        stop.set()
        return find(*arguments, **more)

    workdir = folder / "stopped"
    config = small_config(folder, **{"sharpness.measures": "eigenvalues,trace"})
    with monkeypatch.context() as patch, pytest.raises(signals.Interrupted):
        patch.setattr(eigenvalues, "find", stopped)
        training.run(config, workdir, stop)
    training.run(config, workdir)
    runs.assert_equal_checkpoints(watched, workdir)
    runs.assert_equal_points(watched, workdir)


@pytest.mark.slow
def test_killed_and_continued_it_has_each_measurement_once(folder, watched):
    workdir = folder / "killed"
    shutil.copytree(watched, workdir)
    last = checkpoint_folder.paths(str(workdir / "checkpoints"))[-1]
    for path in [*glob.glob(f"{last}*"), str(workdir / "result.json")]:
        os.remove(path)
    config = small_config(folder, **{"sharpness.measures": "eigenvalues,trace"})
    training.run(config, workdir)
    runs.assert_equal_points(watched, workdir)


@pytest.mark.slow
def test_the_last_epoch_is_measured_also_where_early_stopping_ends_the_run(folder):
    more = {
        "num_epochs": 30,
        "sharpness.every_epochs": 29,
        "sharpness.iterations": 2,
        "early_stopping.patience": 1,
        "optimizer.learning_rate": 0.3,
    }
    result = training.run(small_config(folder, **more), folder / "ended")
    assert result["epochs"] < 29
    assert list(runs.scalars(folder / "ended")[FIRST]) == [result["steps"]]


@pytest.mark.slow
def test_in_bfloat16_and_on_two_replicas_it_is_measured_in_float32(folder):
    more = {"dtype": "bfloat16", "sharpness.examples": 1000}
    config = small_config(folder, **more)
    training.run(config, folder / "two", strategy=fixtures.mirrored(2))
    point = job.measure(
        str(folder / "two"),
        subject.read_config(str(folder / "two")),
        subject.points(str(folder / "two"), ["last"]),
        Plan(("eigenvalues",), iterations=6),
        runtime.of(tf.distribute.OneDeviceStrategy("/cpu:0")),
    )["points"]["last"]
    (found,) = runs.scalars(folder / "two")[FIRST][10]
    assert found == pytest.approx(point["eigenvalues"]["largest"][0], rel=1e-4)


def test_an_unknown_measure_is_one_line(folder):
    config = small_config(folder)
    config.sharpness.measures = "eigenvalues,flatness"
    words = r"`sharpness.measures` is 'eigenvalues,flatness'; it must be some of"
    with pytest.raises(errors.UserError, match=words):
        rules.validate(config)
