"""Where a prepared set is written: taken, refused, or left without a trace."""

import os
import resource
import shutil
import subprocess

import pytest

from sam_pod import errors
from sam_pod.data.prepare import shard_plan, shard_writer, shards
from sam_pod.data.stored import manifest, records
from tests.data.prepare.little import (
    contents,
    little,
    make_images,
    make_source,
    make_split,
)


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "set").mkdir()
    written = shards.write(little(), f"{tmp_path}/set/")
    assert manifest.read(tmp_path / "set") == written
    assert os.listdir(tmp_path) == ["set"]


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.txt").write_text("mine")
    with pytest.raises(errors.UserError, match="already holds files; name a new"):
        shards.write(little(), str(tmp_path / "set"))
    assert contents(tmp_path / "set") == {"notes.txt": b"mine"}
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize(
    "output, reason",
    [
        ("", "is empty"),
        ("http://host/set", "http is for reading alone"),
        ("file", "is a file or a mount point"),
        ("file/set", r"Cannot write .*file/set \(Not a directory\)"),
        ("/proc/set", "Cannot write /proc/set"),
        ("/proc", "already holds files"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    tmp_path, monkeypatch, output, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(errors.UserError, match=reason):
        shards.write(little(), output)
    assert contents(tmp_path) == {"file": b"mine"}


def test_what_a_killed_preparation_left_is_deleted(tmp_path):
    (tmp_path / "set.partial" / "deeper").mkdir(parents=True)
    (tmp_path / "set.partial" / "deeper" / "stray").write_text("half of it")
    shards.write(little(), str(tmp_path / "set"))
    shards.write(little(), str(tmp_path / "undisturbed"))
    assert sorted(os.listdir(tmp_path)) == ["set", "undisturbed"]
    assert contents(tmp_path / "set") == contents(tmp_path / "undisturbed")


def test_two_preparations_do_not_share_a_folder(tmp_path):
    part, looked = little().splits["train"], []

    def read(start, stop):
        if os.path.exists(tmp_path / "set.partial"):
            looked.append(os.listdir(tmp_path / "set.partial"))
            with pytest.raises(errors.UserError, match="Another process is writing"):
                shards.write(little(), str(tmp_path / "set"))
            assert os.listdir(tmp_path / "set.partial") == looked[-1]
        return part.read(start, stop)

    train = records.SourceSplit(20, part.num_bytes, read)
    shards.write(make_source(train, make_split(make_images(7, 1))), f"{tmp_path}/set")
    assert looked
    shards.write(little(), f"{tmp_path}/other")
    assert contents(tmp_path / "set") == contents(tmp_path / "other")


def test_a_file_that_the_system_cuts_short_is_refused(tmp_path):
    images = make_images(100, shape=(32, 32, 3))
    source = make_source(make_split(images), make_split(images))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(errors.UserError, match="Cannot write ") as raised:
            shards.write(source, str(tmp_path / "set"), num_shards=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "set") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not os.listdir(tmp_path)


def test_bytes_that_did_not_arrive_are_noticed(tmp_path, monkeypatch):
    def lose(path):
        if path.endswith(".tfrecord"):
            os.truncate(path, os.path.getsize(path) - 1)

    monkeypatch.setattr(shard_writer.files, "sync", lose)
    with pytest.raises(errors.UserError, match=r"Cannot write .*bytes arrived"):
        shards.write(little(), str(tmp_path / "set"))
    assert not os.listdir(tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip("needs the right to mount a small tmpfs")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    small_disk, monkeypatch
):
    images = make_images(40, shape=(64, 64, 3))
    source = make_source(make_split(images), make_split(images))
    monkeypatch.setattr(shard_plan, "begin", None)  # Not reached.
    with pytest.raises(errors.UserError, match=r"about 0\.000999 GB.* 0\.00\d+ GB"):
        shards.write(source, str(small_disk / "set"))
    assert not os.listdir(small_disk)


def test_a_disk_that_is_full_all_of_a_sudden_is_refused_and_cleaned_up(
    small_disk, monkeypatch
):
    images = make_images(40, shape=(64, 64, 3))
    source = make_source(make_split(images), make_split(images))
    monkeypatch.setattr(shard_plan, "check_space", lambda *arguments: None)
    for num_shards in (1, 40):  # Full within a file, and at a new one.
        with pytest.raises(errors.UserError, match=r"Cannot write .*space") as raised:
            shards.write(source, str(small_disk / "set"), num_shards)
        assert str(small_disk / "set") in str(raised.value)
        assert "\n" not in str(raised.value)
        assert not os.listdir(small_disk)
