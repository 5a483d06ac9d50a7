"""Files of events written by the run's own writer, cut, and read by TensorFlow."""

import os

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.stored import framing
from sam_pod.machines import runtime
from sam_pod.run import event_files, writers
from sam_pod.step import metrics
from sam_pod.storage import files
from tests import runs

MEASURED = f"{event_files.SHARPNESS}eigenvalue_1"
SCORES = metrics.Evaluation(0.5, 0.25, 8)


def write(folder, first, last, *, validated=(), tested=False):
    """Write a file as one process does; return its path."""
    before = set(files.names(str(folder)))
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    writer = writers.Writer(str(folder), runtime.of(strategy))
    if first == 1:
        writer.contact_sheet(np.zeros((2, 2, 3), np.uint8), "labels")
    for step in range(first, last + 1):
        writer.steps(step, np.full((1, len(metrics.TRAIN)), step))
        if step in validated:
            writer.scalars(step, {MEASURED: 1.0})
            writer.evaluation("validation", step, SCORES)
    if tested:
        writer.evaluation("test", last, SCORES)
    writer.close()
    (name,) = set(files.names(str(folder))) - before
    return os.path.join(folder, name)


def steps(folder, tag="train/loss"):
    """Return the steps of a tag, as often as they are there."""
    return [step for name, step in runs.points(folder) if name == tag]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


LIMITS = event_files.limits(5, 4, None)


def test_what_comes_after_the_checkpoint_is_cut(tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    path = write(tmp_path, 1, 9, validated=[4, 8])
    whole = files.read_bytes(path)
    event_files.cut(str(tmp_path), LIMITS)
    assert whole.startswith(files.read_bytes(path))
    assert steps(tmp_path) == [1, 2, 3, 4, 5]
    assert steps(tmp_path, "validation/loss") == steps(tmp_path, MEASURED) == [4]
    assert steps(tmp_path, "train/contact_sheet") == [0]
    points = 4 * len(metrics.TRAIN) + 3
    assert f"after step 5 and is written again: {points} points in 1 file." in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("validated_step", "result", "validations", "tests"),
    [
        (4, None, [4, 8], []),
        (4, {"steps": 4}, [4, 8], []),  # A shorter run's; this one ended after that.
        (8, None, [4, 8], []),
        (8, {"steps": 8}, [4, 8], [8]),  # Finished, and trained for longer.
    ],
)
def test_a_checkpoint_knows_of_its_step_validated_or_not(
    tmp_path, validated_step, result, validations, tests
):
    write(tmp_path, 1, 8, validated=[4, 8], tested=True)
    event_files.cut(str(tmp_path), event_files.limits(8, validated_step, result))
    assert steps(tmp_path) == list(range(1, 9))
    kept = [step for step in validations if step <= validated_step]
    assert steps(tmp_path, "validation/accuracy") == steps(tmp_path, MEASURED) == kept
    assert steps(tmp_path, "test/loss") == tests


def test_of_several_files_each_is_cut_and_one_of_nothing_else_removed(tmp_path):
    first, second = write(tmp_path, 1, 4), write(tmp_path, 3, 6)
    third, empty = write(tmp_path, 6, 9), write(tmp_path, 1, 0)
    event_files.cut(str(tmp_path), event_files.limits(4, 4, None))
    assert steps(tmp_path) == [1, 2, 3, 4, 3, 4]
    assert os.path.exists(first)
    assert os.path.exists(second)
    assert not os.path.exists(third)
    assert os.path.exists(empty)
    event_files.cut(str(tmp_path), event_files.NOTHING)
    assert not os.path.exists(first)
    assert runs.points(tmp_path) == []


@pytest.mark.parametrize("missing", [1, 4, 30, 60])
def test_half_a_record_at_the_end_is_cut(tmp_path, missing):
    path = write(tmp_path, 1, 3)
    before = runs.points(tmp_path)
    os.truncate(path, os.path.getsize(path) - missing)
    event_files.cut(str(tmp_path), LIMITS)
    assert runs.points(tmp_path) == before[:-1]
    os.truncate(path, 7)
    event_files.cut(str(tmp_path), LIMITS)
    assert (runs.points(tmp_path), os.path.getsize(path)) == ([], 0)


def test_points_of_which_nothing_is_written_again_stay_as_they_are(tmp_path, caplog):
    caplog.set_level("WARNING", "absl")
    write(tmp_path, 1, 5, validated=[4])
    before = contents(tmp_path)
    event_files.cut(str(tmp_path), LIMITS)
    event_files.cut(str(tmp_path / "nothing"), LIMITS)
    assert contents(tmp_path) == before
    assert caplog.messages == []


def test_what_others_wrote_stays(tmp_path, caplog):
    caplog.set_level("WARNING", "absl")
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.scalar("train/loss", 1.0, step=9)
        for step in (9, 1):
            tf.summary.scalar("epoch_loss", 1.0, step=step)
        tf.summary.scalar("train/loss", 1.0, step=9)
    ours = write(tmp_path, 1, 9)
    content = files.read_bytes(ours)
    (tmp_path / "sub").mkdir()
    others = [
        "sub/events.out.tfevents.1700000000.host.1.0.v2",
        "events.out.tfevents.1700000000.host.profile-empty",
        "events.out.tfevents.1700000000.host",
        "copy of events.out.tfevents.1700000000.host.1.0.v2",
    ]
    for name in others:
        (tmp_path / name).write_bytes(content)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    event_files.cut(str(tmp_path), LIMITS)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert {str(p) for p in before if before[p] != after[p]} == {ours}
    assert caplog.messages == []


def first(path):
    """Return where the first record after that of the version starts."""
    return framing.scan(str(path)).starts[1]


FAULTS = {
    "corrupt": lambda p, c: p.write_bytes(c[: first(p)] + b"x" + c[first(p) + 1 :]),
    "zeros": lambda p, c: p.write_bytes(c + bytes(100)),
    "no events": lambda p, c: p.write_bytes(tf_record(b"\xff" * 9)),
    "out of order": lambda p, c: p.write_bytes(c + c[first(p) :]),
    "dangling": lambda p, c: (p.unlink(), p.symlink_to("nowhere")),
    "folder": lambda p, c: (p.unlink(), p.mkdir()),
}


def tf_record(data):
    with tf.io.TFRecordWriter("ram://record") as writer:
        writer.write(data)
    return files.read_bytes("ram://record")


def as_it_is(path):
    """Return which file it is and when it was written; reading it is no change."""
    found = os.lstat(path)
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_is_not_clear_stays_and_a_line_says_so(tmp_path, caplog, name):
    caplog.set_level("WARNING", "absl")
    bad, good = write(tmp_path, 1, 5), write(tmp_path, 6, 9)
    step = 5 if name == "zeros" else 4  # What is cut off anyway may be anything.
    path = type(tmp_path)(bad)
    FAULTS[name](path, path.read_bytes())
    before = as_it_is(bad)
    event_files.cut(str(tmp_path), event_files.limits(step, 4, None))
    assert as_it_is(bad) == before or name == "folder"
    (line,) = caplog.messages
    assert line.startswith(f"Left {bad} as it is (")
    assert not os.path.exists(good)


def test_what_has_been_cut_is_not_read_again_from_its_start(tmp_path, monkeypatch):
    path = write(tmp_path, 1, 40, validated=[4])
    event_files.cut(str(tmp_path), event_files.limits(20, 4, None))
    before = contents(tmp_path)
    read = []
    scan = framing.scan
    monkeypatch.setattr(framing, "scan", lambda *a: (read.append(a[0]), scan(*a))[1])
    event_files.cut(str(tmp_path), event_files.limits(20, 4, None))
    assert (contents(tmp_path), read) == (before, [])
    event_files.cut(str(tmp_path), event_files.limits(19, 4, None))
    assert read == [path]
    assert steps(tmp_path) == list(range(1, 20))


@pytest.mark.parametrize("call", ["truncate", "remove"])
def test_a_cut_that_is_killed_is_done_again(tmp_path, monkeypatch, call):
    for first, last in ((1, 6), (5, 9), (7, 9), (8, 9)):
        write(tmp_path, first, last)
    before = contents(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, killed)
        with pytest.raises(KeyboardInterrupt):
            event_files.cut(str(tmp_path), LIMITS)
    for name, content in contents(tmp_path).items():
        assert before[name].startswith(content)
    event_files.cut(str(tmp_path), LIMITS)
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 5]


def test_in_a_bucket_a_file_is_replaced_or_removed(tmp_path):
    first, second = write(tmp_path, 1, 9), write(tmp_path, 7, 9)
    folder = "ram://test_in_a_bucket/run"
    for path in (first, second):
        files.upload(path, f"{folder}/{os.path.basename(path)}")
    event_files.cut(str(tmp_path), LIMITS)
    event_files.cut(folder, LIMITS)
    assert files.names(folder) == [os.path.basename(first)]
    content = files.read_bytes(f"{folder}/{os.path.basename(first)}")
    assert content == files.read_bytes(first)
    files.remove_folder(folder)
