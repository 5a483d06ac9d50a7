"""Progress lines, on a clock of our own; events are read back in train_test.py."""

import types

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import runtime, workers
from sam_pod.run import log as log_lib
from sam_pod.run import row_events, writers
from sam_pod.step import metrics, progress

ROW = np.arange(len(metrics.TRAIN)) / 10
SPEED = {metrics.EXAMPLES_PER_SECOND: 123.4, metrics.WAIT_FRACTION: 0.256}


def alone():
    return runtime.of(tf.distribute.OneDeviceStrategy("/cpu:0"))


@pytest.fixture
def clock(monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        log_lib, "time", types.SimpleNamespace(monotonic=lambda: clock.now)
    )
    return clock


def test_a_line_every_few_seconds_with_a_time_to_go(clock, caplog):
    log = log_lib.ProgressLog(5.0, total_steps=1000, epoch_steps=100)
    with caplog.at_level("INFO", logger="absl"):
        clock.now = 30.0
        log.start(1)
        for step in range(2, 62):
            clock.now += 1.0
            log.steps(step, ROW[None], SPEED)
    lines = [line for line in caplog.messages if line.startswith("step ")]
    assert len(lines) == 12
    assert lines[-1] == (
        "step 57/1000  epoch 0.6  loss 0.0000  accuracy 0.300  sharpness 0.2000  "
        "lr 0.6  123 examples/s  input wait 26 %  to go 15m43s"
    )


def test_long_runs_show_hours_and_the_last_step_has_a_line(clock, caplog):
    log = log_lib.ProgressLog(5.0, total_steps=100_000, epoch_steps=100)
    with caplog.at_level("INFO", logger="absl"):
        log.start(0)
        clock.now = 10.0
        log.steps(10, ROW[None], SPEED)
        clock.now = 10.1
        log.steps(100_000, ROW[None], SPEED)
    assert caplog.messages[-2].endswith("to go 27h46m")
    assert caplog.messages[-1].startswith("step 100000/100000")


def test_evaluations_show_where_they_are(clock, caplog):
    log = log_lib.ProgressLog(5.0, total_steps=10, epoch_steps=10)
    with caplog.at_level("INFO", logger="absl"):
        for batch in range(1, 13):
            clock.now += 1.0
            log.evaluation("test", batch, 12)
    assert caplog.messages == [
        "evaluating test: batch 5/12",
        "evaluating test: batch 10/12",
    ]


def test_an_early_end_and_the_weights_of_the_test_are_said(clock, caplog):
    log = log_lib.ProgressLog(5.0, total_steps=10, epoch_steps=1)
    record = progress.Progress(best_epoch=4.0, validated_epochs=7.0)
    with caplog.at_level("INFO", logger="absl"):
        log.stopped_early(record, num_epochs=10)
        log.tested_best(4, 0.625)
    assert caplog.messages == [
        "Early stopping after epoch 7 of 10: the validation loss was lowest in epoch "
        "4, 3 epochs ago.",
        "These are of the weights of epoch 4, the best by validation loss; the last "
        "ones have test/accuracy 0.6250.",
    ]


def test_a_folder_that_cannot_be_made_is_the_users(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="Cannot write under"):
        writers.Writer(str(tmp_path / "file" / "run"), alone())


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    second = runtime.Runtime(strategy, workers.Workers(strategy, index=1, count=2))
    writer = writers.Writer(str(tmp_path), second)
    with writer.profile():
        writer.scalars(1, {"train/loss": 1.0})
    writer.steps(1, ROW[None])
    writer.flush()
    writer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "write",
    [
        lambda writer: writer.scalars(1, {"train/loss": 1.0, "new/scalar": 1.0}),
        lambda writer: writer.images(1, {"new/picture": np.zeros((2, 2, 3), np.uint8)}),
        lambda writer: writer.steps(1, np.zeros((1, ROW.size + 1)), ["new/of_steps"]),
    ],
)
def test_no_tag_is_written_by_which_a_run_would_not_know_its_file(tmp_path, write):
    writer = writers.Writer(str(tmp_path), alone())
    with pytest.raises(ValueError, match=r"'new/\w+' is none of event_files"):
        write(writer)
    writer.close()


def test_many_rows_at_once_are_the_events_of_one_after_the_other(tmp_path, monkeypatch):
    """Tags, steps, values and their order; a member's own are left out where NaN."""
    rows = np.random.default_rng(0).normal(size=(5, ROW.size + 2)).astype(np.float32)
    rows[1, -2:], rows[3, -1] = np.nan, np.nan
    found = []
    for many in (1, 1000):
        monkeypatch.setattr(row_events, "MANY", many)
        folder = tmp_path / str(many)
        writer = writers.Writer(str(folder), alone())
        writer.scalars(6, {metrics.WAIT_FRACTION: 0.5})
        writer.steps(7, rows[:3], ("train/cosine", "train/rho_limit"))
        writer.steps(10, rows[3:], ("train/cosine", "train/rho_limit"))
        writer.close()
        (path,) = folder.glob("events*")
        found.append(
            [
                (e.step, v.tag, v.metadata.plugin_data, tf.make_ndarray(v.tensor))
                for e in tf.compat.v1.train.summary_iterator(str(path))
                for v in e.summary.value
            ]
        )
    assert found[0] == found[1]
    assert len(found[0]) == 1 + rows.size - 3
    assert {tag for _, tag, _, _ in found[0]} > {*metrics.TRAIN, "train/rho_limit"}
