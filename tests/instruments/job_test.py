"""Instruments on a run: any number of replicas, its own evaluation, what is written."""

import dataclasses
import json
import math
import os
import shutil
import statistics
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.data.input import pipeline
from sam_pod.instruments import (
    job,
    m_sharpness,
    measures,
    page,
    report,
    subject,
)
from sam_pod.instruments.plan import Plan
from sam_pod.machines import runtime
from tests import fixtures, runs, training

QUICK = Plan(
    iterations=6,
    eigenvalues=2,
    trace_probes=2,
    m=(8,),
    m_examples=32,
    balls=("2:0.05", "adaptive-inf:0.01"),
    restarts=1,
    steps=3,
    draws=2,
    line_points=5,
    plane_points=3,
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Return the workdir of a finished run, with weight decay."""
    folder = tmp_path_factory.mktemp("measured")
    model = folder / "small.keras"
    fixtures.small_model(shape=(8, 8, 3), classes=4).model.save(model)
    more = {"num_epochs": 1, "optimizer.name": "sgd", "optimizer.weight_decay": 0.01}
    training.run(runs.small_config(folder, **more), folder / "run")
    return folder / "run"


def measure(workdir, strategy, plan):
    config = subject.read_config(str(workdir))
    points = subject.points(str(workdir), list(plan.at))
    return job.measure(str(workdir), config, points, plan, runtime.of(strategy))


@pytest.fixture(scope="module")
def alone(workdir):
    return measure(workdir, tf.distribute.OneDeviceStrategy("/cpu:0"), QUICK)


@pytest.mark.slow
def test_two_replicas_measure_what_one_does(workdir, alone, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    two = measure(tmp_path / "run", fixtures.mirrored(2), QUICK)
    assert two["replicas"] == 2
    a, b = alone["points"]["last"], two["points"]["last"]
    for key in ("largest", "smallest", "largest_times_squared_norm"):
        np.testing.assert_allclose(
            b["eigenvalues"][key], a["eigenvalues"][key], rtol=1e-4
        )
    assert b["trace"]["trace"] == pytest.approx(a["trace"]["trace"], rel=1e-4)
    for measure_ in ("line", "plane"):
        np.testing.assert_allclose(
            b[measure_]["losses"], a[measure_]["losses"], rtol=1e-5
        )
    for measure_ in ("worst_case", "average_case"):
        pairs = zip(a[measure_]["groups"], b[measure_]["groups"], strict=True)
        for one, other in pairs:
            assert one["groups"] == other["groups"] == 4
            for key in ("rise", "standard_error"):
                assert other[key] == pytest.approx(one[key], rel=2e-3, abs=1e-6)


@pytest.mark.slow
def test_a_run_that_evaluates_its_average_is_measured_without_and_that_is_said(alone):
    config = keys.defaults()
    assert job.of_the_average(config) == {} and job.AVERAGE not in alone
    config.ema.decay = 0.9
    said = job.of_the_average(config)
    assert "not their average (`ema.decay` is 0.9), which" in said[job.AVERAGE]
    assert "their average" not in page.html(alone, [])
    assert "not their average" in page.html(alone | said, [])


def test_l2_moves_the_largest_eigenvalue_by_at_most_the_weight_decay(alone):
    found = alone["points"]["last"]["eigenvalues"]
    shift = found["with_l2"]["largest"][0] - found["largest"][0]
    assert 0 < shift <= 0.01 + 1e-5


def test_slices_at_0_are_the_evaluation_of_the_model_by_keras(workdir, alone):
    config = subject.read_config(str(workdir))
    here = runtime.of(tf.distribute.OneDeviceStrategy("/cpu:0"))
    opened = subject.open_run(str(workdir), config, here, 80)
    opened.restore(subject.points(str(workdir), ["last"])[0])
    net = opened.recipe.network
    net.assign(*([v.numpy() for v in part] for part in (opened.weights, opened.stats)))
    input_fn = pipeline.evaluation(opened.split, global_batch_size=80)
    batch = next(iter(input_fn(tf.distribute.InputContext())))
    logits = net.model(opened.recipe.evaluation_images(batch.images), training=False)
    log_p = tf.nn.log_softmax(logits).numpy()
    labels = batch.labels.numpy()
    for name in ("line", "plane"):
        found = alone["points"]["last"][name]
        assert found["loss_at_weights"] == pytest.approx(
            -log_p[np.arange(80), labels].mean(), rel=1e-5
        )
        assert found["accuracy_at_weights"] == pytest.approx(
            (log_p.argmax(1) == labels).mean(), abs=1e-6
        )
    assert alone["points"]["last"]["worst_case"]["groups"][0]["loss"] > 0


def test_the_worst_rise_is_below_neither_0_nor_that_of_a_single_step(alone):
    for found in alone["points"]["last"]["worst_case"]["groups"]:
        assert found["rise"] >= max(0, found["single_step_rise"]) > 0


def test_what_was_measured_is_written_with_its_conventions(workdir, alone):
    with open(workdir / report.FILE) as file:
        written = json.load(file)
    settings = written["settings"]["last"]
    assert settings["eigenvalues"]["iterations"] == 6
    assert settings["eigenvalues"]["examples"] == settings["line"]["examples"] == 80
    assert "running statistics" in written["batch_norm"]
    found = written["points"]["last"]["eigenvalues"]["largest"]
    assert found == alone["points"]["last"]["eigenvalues"]["largest"]
    folder = workdir / job.FOLDER
    for name in ("density", "line", "plane"):
        assert Image.open(folder / f"{name}-last.png").size == (900, 560)
    page = (folder / job.PAGE).read_text()
    assert page.count("<img ") == 3
    assert "running statistics" in page
    assert "http" not in page.replace("http-equiv", "")
    values = runs.scalars(folder)
    step = written["points"]["last"]["step"]
    assert values["sharpness/eigenvalue_1"][step] == [pytest.approx(found[0], rel=1e-6)]


@pytest.mark.slow
def test_a_second_command_adds_and_one_group_has_no_standard_error(
    workdir, alone, tmp_path, caplog
):
    caplog.set_level("INFO", "absl")
    shutil.copytree(workdir, tmp_path / "run")
    more = {"measures": ("worst_case",), "m": (32,), "balls": ("2:0.05",)}
    more["at"] = ("every", "last", "best")
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    both = measure(tmp_path / "run", one, dataclasses.replace(QUICK, **more))
    line = next(m for m in caplog.messages if "last: worst_case: m 32" in m)
    assert "rise" in line and "+-" not in line
    with open(tmp_path / "run" / report.FILE) as file:
        written = json.load(file)["points"]["last"]
    *before, found = written["worst_case"]["groups"]
    assert before == alone["points"]["last"]["worst_case"]["groups"]
    assert (found["m"], found["groups"], found["standard_error"]) == (32, 1, None)
    assert written["trace"] == alone["points"]["last"]["trace"]
    assert both["points"]["last"].keys() == written.keys()
    page = (tmp_path / "run" / job.FOLDER / job.PAGE).read_text()
    assert "<td>32</td><td>2:0.05</td>" in page and "nan" not in page
    points = runs.points(tmp_path / "run" / job.FOLDER)
    assert len(points) == len(set(points)) > len(runs.scalars(workdir / job.FOLDER))


def test_a_step_is_shown_once_by_whatever_names_it_was_measured():
    steps = {"last": 36, "ckpt-36-2": 36, "best": 36, "ckpt-18-1": 18}
    points = {name: {"step": step} for name, step in steps.items()}
    assert job.names_by_step({"points": points}) == {
        18: ["ckpt-18-1"],
        36: ["best", "last", "ckpt-36-2"],
    }


def test_a_batch_that_does_not_divide_is_named_as_it_was_given():
    config = keys.defaults()
    config.global_batch_size = 33
    subject_ = types.SimpleNamespace(config=config, num_replicas=2)
    for size, said in ((7, r"--batch_size \(7\) must"), (0, r"a chunk of .*\(33\)")):
        with pytest.raises(errors.UserError, match=f"^{said}"):
            measures._batch_size(subject_, dataclasses.replace(QUICK, batch_size=size))


def test_a_standard_error_is_that_of_the_groups_and_no_rounding():
    """Beside rises whose squares, in float32, do not show it."""
    rises = np.float32(1000) + np.float32([0.001, 0.002, 0.004, 0.001])
    found = np.stack([np.ones(4), np.zeros(4), rises, np.zeros(4)], 1)
    padded = np.concatenate([found, np.zeros((3, 4))]).astype(np.float32)
    expected = statistics.stdev(map(float, rises)) / 2
    numbers = m_sharpness.summarize(padded)
    assert numbers["standard_error"] == pytest.approx(expected, rel=1e-9)
    assert (numbers["groups"], numbers["rise"]) == (4, pytest.approx(rises.mean()))
    assert math.isnan(m_sharpness.summarize(padded[:1])["standard_error"])


@pytest.mark.slow
def test_a_batchs_statistics_are_those_of_whole_batches(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    plan = dataclasses.replace(
        QUICK, measures=("eigenvalues",), batch_norm="batch", batch_size=32
    )
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    found = measure(tmp_path / "run", one, plan)
    assert "of each batch" in found["batch_norm"]
    # Of 80 examples the whole batches.
    assert found["settings"]["last"]["eigenvalues"]["examples"] == 64
    with pytest.raises(errors.UserError, match="less than the batch of 100"):
        measure(tmp_path / "run", one, dataclasses.replace(plan, batch_size=100))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"measures": ("hessian",)}, "--measures"),
        ({"batch_norm": "train"}, "--batch_norm"),
        ({"iterations": 3, "eigenvalues": 5}, "--eigenvalues is 5; it must be at most"),
        ({"line_points": 50}, "--line_points is 50; it must be odd"),
        ({"measures": ()}, "--measures is empty; give some of eigenvalues, density"),
        ({"at": ()}, "--at is empty; give some of last, best, every"),
        ({"m": ()}, "--m is ; each must be 1 at least"),
        ({"balls": ("3:1",)}, "is no ball"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_one_line(words, message):
    with pytest.raises(errors.UserError, match=message) as caught:
        Plan(**words).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"examples": 81}, "--examples is 81; the run trains on 80"),
        ({"at": ("first",)}, "--at"),
        ({"m": (64,)}, "--m is 64; it must be at most the 32 examples"),
    ],
)
def test_what_does_not_fit_the_run_is_refused_in_one_line(workdir, plan, message):
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    with pytest.raises(errors.UserError, match=message) as caught:
        measure(workdir, one, dataclasses.replace(QUICK, **plan))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("result.json", "holds a run that is not finished"),
        ("config.json", "holds no run"),
        ("checkpoints", "has no such checkpoint"),
    ],
)
def test_a_workdir_without_a_finished_run_is_refused(workdir, tmp_path, name, message):
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    (shutil.rmtree if os.path.isdir(copy / name) else os.remove)(copy / name)
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    with pytest.raises(errors.UserError, match=message):
        measure(copy, one, QUICK)


def test_a_run_that_is_trained_for_longer_is_not_finished(workdir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    config = json.loads((copy / "config.json").read_text())
    config["num_epochs"] += 1
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(errors.UserError, match="holds a run that is not finished"):
        subject.read_config(str(copy))
