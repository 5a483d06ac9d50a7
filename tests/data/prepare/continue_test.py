"""A preparation that is killed continues, in whatever it had finished."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sam_pod import errors
from sam_pod.data.prepare import shard_writer, shards
from sam_pod.data.sources import images
from sam_pod.data.stored import verify
from tests.data import made

COUNTS = {"train/ant": 30, "train/bee": 30, "test/ant": 20, "test/bee": 20}


@pytest.fixture
def tree(tmp_path):
    return made.tree(tmp_path / "tree", COUNTS)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_after(count):
    told = []

    def progress(number):
        told.append(number)
        if sum(told) >= count:
            raise KeyboardInterrupt

    return progress


def write(tree, output, progress=lambda count: None, **options):
    choice = shards.ShardOptions(**options)
    source = images.read(str(tree))
    return shards.write_with(source, str(output), 5, choice, progress=progress)


def interrupted(tree, output, count=60, **options):
    with pytest.raises(KeyboardInterrupt):
        write(tree, output, stop_after(count), **options)
    return output.with_name(f"{output.name}.partial")


def finished(partial):
    state = partial / shard_writer.STATE
    return {p.name.removesuffix(".json") for p in state.glob("*.tfrecord.json")}


def times(folder, names):
    return {name: os.stat(folder / name).st_mtime_ns for name in names}


def test_finished_shards_are_used_again(tmp_path, tree):
    partial = interrupted(tree, tmp_path / "set")
    names = finished(partial)
    assert len(names) == 4  # The fifth had reported its last image, but no more.
    before = times(partial, names)
    told = []
    write(tree, tmp_path / "set", told.append)
    assert sum(told) == 100
    assert times(tmp_path / "set", names) == before
    write(tree, tmp_path / "other")
    assert contents(tmp_path / "set") == contents(tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["other", "set", "tree"]


@pytest.mark.parametrize(
    "end", [".tfrecord", pytest.param(".index", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("fault", ["flip", "cut", "delete"])
def test_a_finished_shard_that_changed_is_made_anew(tmp_path, tree, end, fault):
    partial = interrupted(tree, tmp_path / "set")
    path = min(partial.glob(f"*{end}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if fault == "delete":
        path.unlink()
    else:
        path.write_bytes(content if fault == "flip" else content[:-1])
    verify.check(tmp_path / "set", write(tree, tmp_path / "set").manifest)
    write(tree, tmp_path / "other")
    assert contents(tmp_path / "set") == contents(tmp_path / "other")


@pytest.mark.parametrize(
    "options",
    [{"encoding": "encoded"}, {"label_noise": 0.4}, {"image_size": 4}],
)
def test_other_options_start_anew(tmp_path, tree, options):
    partial = interrupted(tree, tmp_path / "set")
    (partial / "stray").mkdir()
    write(tree, tmp_path / "set", **options)
    write(tree, tmp_path / "other", **options)
    assert contents(tmp_path / "set") == contents(tmp_path / "other")


def test_another_source_starts_anew(tmp_path, tree):
    interrupted(tree, tmp_path / "set")
    path = tree / "train/ant/0000.png"  # In the first shard, which was finished.
    path.write_bytes(made.png(made.image(99)))
    write(tree, tmp_path / "set")
    write(tree, tmp_path / "other")
    assert contents(tmp_path / "set") == contents(tmp_path / "other")


def test_bad_images_of_finished_shards_are_still_listed(tmp_path, tree):
    (tree / "train/ant/0000.png").write_bytes(b"no image")
    partial = interrupted(tree, tmp_path / "set", skip_bad=True)
    assert "train-00000-of-00005.tfrecord" in finished(partial)
    report = write(tree, tmp_path / "set", skip_bad=True)
    assert report.skipped == ("train/ant/0000.png",)


def test_what_is_finished_needs_no_space_a_second_time(tmp_path, tree, monkeypatch):
    usage = shards.shard_plan.shutil.disk_usage

    def little(path):
        return usage(path)._replace(free=18_000)

    monkeypatch.setattr(shards.shard_plan.shutil, "disk_usage", little)
    with pytest.raises(errors.UserError, match=r"Cannot write .* GB of space left"):
        write(tree, tmp_path / "set")
    monkeypatch.undo()
    partial = interrupted(tree, tmp_path / "set")
    monkeypatch.setattr(shards.shard_plan.shutil, "disk_usage", little)
    write(tree, tmp_path / "set")
    assert not partial.exists()


def test_a_bug_while_a_signal_has_come_is_an_interruption(tmp_path, tree, monkeypatch):
    """An extension that is interrupted raises errors of its own."""
    asked = []

    def check(count):
        if asked:
            raise KeyboardInterrupt

    def broken(*arguments):
        asked.append(True)
        raise RuntimeError("of an extension")

    monkeypatch.setattr(shards, "_manifest", broken)
    with pytest.raises(KeyboardInterrupt):
        write(tree, tmp_path / "set", check)
    assert len(finished(tmp_path / "set.partial")) == 10


# Signals come to a process that prepares with two others.
COMMAND = [sys.executable, "-m", "sam_pod.data.prepare", "--dataset=images"]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return a tree that takes seconds, and the files of its set."""
    folder = tmp_path_factory.mktemp("large")
    counts = {"train/ant": 1500, "train/bee": 1500, "test/ant": 10}
    tree = made.tree(folder / "tree", counts, shape=(64, 64, 3))
    shards.write(images.read(str(tree)), str(folder / "set"), 40)
    return tree, contents(folder / "set")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_real_kill_at_work_changes_no_byte(large, tmp_path, number):
    tree, expected = large
    arguments = [*COMMAND, f"--source={tree}", "--num_shards=40", "--num_processes=2"]
    partial = tmp_path / "set.partial"
    with subprocess.Popen(
        [*arguments, f"--output={tmp_path / 'set'}"],
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        while len(finished(partial)) < 3:
            assert child.poll() is None
            time.sleep(0.01)
        others = psutil.Process(child.pid).children(recursive=True)
        child.send_signal(number)
        problem = child.stderr.read()
    assert child.returncode == (-9 if number == signal.SIGKILL else 42)
    if number != signal.SIGKILL:
        assert problem == "Interrupted: the same command continues.\n"
    _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive
    names = finished(partial)
    assert 3 <= len(names) < 50
    for name in names:  # What is recorded as finished is so.
        assert shard_writer.read_digests(str(partial), name)
    before = times(partial, names)
    subprocess.run([*arguments, f"--output={tmp_path / 'set'}"], check=True)
    assert times(tmp_path / "set", names) == before
    assert not partial.exists()
    assert contents(tmp_path / "set") == expected
