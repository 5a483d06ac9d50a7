import dataclasses
import fractions
import os
import resource
import shutil
import subprocess

import numpy as np
import psutil
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import shard_plan, shard_writer, shards
from sam_pod.data.stored import manifest, records, verify
from tests import own_process

SHAPE = (6, 4, 3)
CLASSES = ("ant", "bee", "cow")


def make_images(size, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, (size, *shape), np.uint8)


def make_split(images, labels=None):
    labels = (
        [i % len(CLASSES) for i in range(len(images))] if labels is None else labels
    )

    def read(start, stop):
        for i in range(start, stop):
            yield records.Item(images[i], labels[i], f"picture {i}")

    return records.SourceSplit(len(images), images[0].nbytes * len(images), read)


def make_source(train, test, **changes):
    return records.Source(
        **{
            "name": "little",
            "classes": CLASSES,
            "kind": "made",
            "place": "a source",
            "fingerprint": "it",
            "splits": {"train": train, "test": test},
            **changes,
        }
    )


def little():
    return make_source(make_split(make_images(20)), make_split(make_images(7, 1)))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_split(folder, split):
    """Read a split without the code that is tested."""
    images, labels = [], []
    for shard in manifest.read(folder).splits[split]:
        dataset = tf.data.TFRecordDataset(str(folder / shard.file))
        for serialized in dataset.as_numpy_iterator():
            features = tf.train.Example.FromString(serialized).features.feature
            assert set(features) == {"image", "label"}
            (image,) = features["image"].bytes_list.value
            (label,) = features["label"].int64_list.value
            images.append(np.frombuffer(image, np.uint8))
            labels.append(label)
    return np.array(images), labels


def test_pixels_labels_and_order_survive(tmp_path):
    shards.write(little(), str(tmp_path / "set"), num_shards=3)
    for split, expected in (("train", make_images(20)), ("test", make_images(7, 1))):
        images, labels = read_split(tmp_path / "set", split)
        np.testing.assert_array_equal(images.reshape(-1, *SHAPE), expected)
        assert labels == [i % 3 for i in range(len(expected))]


def test_a_validation_split_is_stored_where_there_is_one(tmp_path):
    source = little()
    splits = {**source.splits, "validation": make_split(make_images(5, 2))}
    source = make_source(splits["train"], splits["test"], splits=splits)
    shards.write(source, str(tmp_path / "set"), num_shards=2)
    made = manifest.read(tmp_path / "set")
    assert {name: made.num_examples(name) for name in made.splits} == {
        "train": 20,
        "test": 7,
        "validation": 5,
    }
    assert set(verify.check(tmp_path / "set", made)) == set(splits)
    images, _ = read_split(tmp_path / "set", "validation")
    np.testing.assert_array_equal(images.reshape(-1, *SHAPE), make_images(5, 2))


def test_decisions_are_stored_and_are_no_part_of_the_data(tmp_path):
    plain = shards.write(little(), str(tmp_path / "plain"))
    source = make_source(*little().splits.values(), decisions=("test is 'val'",))
    shards.write(source, str(tmp_path / "decided"))
    decided = manifest.read(tmp_path / "decided")
    assert decided.decisions == ("test is 'val'",)
    assert decided.digest() == plain.digest()
    older = dataclasses.replace(plain, schema_version=2)
    assert older.digest() == plain.digest()


@pytest.mark.parametrize("num_shards", [1, 3, 7, 8, 100])
def test_shards_differ_by_one_example_at_most(tmp_path, num_shards):
    written = shards.write(little(), str(tmp_path / "set"), num_shards=num_shards)
    verify.check(tmp_path / "set", written)
    for split, size in (("train", 20), ("test", 7)):
        sizes = [shard.num_examples for shard in written.splits[split]]
        assert len(sizes) == min(num_shards, size)
        assert sum(sizes) == size
        assert max(sizes) - min(sizes) <= 1
    assert len(list((tmp_path / "set").iterdir())) == 1 + 2 * sum(
        len(part) for part in written.splits.values()
    )


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path):
    written = shards.write(little(), str(tmp_path / "set"))
    pixels = make_images(20).reshape(-1, 3).astype(np.float64) / 255
    np.testing.assert_allclose(written.mean, pixels.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(written.std, pixels.std(axis=0), rtol=1e-13)
    total = make_images(20)[..., 1].astype(int).sum()
    exact = fractions.Fraction(int(total), 255 * 20 * 6 * 4)
    assert written.mean[1] == float(exact)


def test_the_same_source_gives_the_same_bytes(tmp_path):
    shards.write(little(), str(tmp_path / "a"))
    shards.write(little(), str(tmp_path / "deeper" / "b"))
    assert contents(tmp_path / "a") == contents(tmp_path / "deeper" / "b")


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


@pytest.mark.parametrize("num_shards", [-1, -3])
def test_a_number_of_shards_that_cannot_be_is_refused(tmp_path, num_shards):
    with pytest.raises(errors.UserError, match=f"`num_shards` is {num_shards}"):
        shards.write(little(), str(tmp_path / "set"), num_shards)


BAD = {
    "shape": ([*make_images(2), make_images(1, shape=(6, 5, 3))[0]], [0, 1, 2]),
    "type": ([*make_images(2), np.zeros(SHAPE, np.float32)], [0, 1, 2]),
    "high": (make_images(3), [0, 1, 3]),
    "low": (make_images(3), [0, 1, -1]),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "bad, reason",
    [
        ("shape", "is uint8 6x5x3; every image must be uint8 6x4x3.*=encoded .*=N"),
        ("type", "is float32 6x4x3; every image must be uint8"),
        ("high", "has label 3; with 3 classes it must be from 0 to 2"),
        ("low", "has label -1"),
    ],
)
def test_an_example_that_does_not_fit_is_named(tmp_path, split, bad, reason):
    splits = {"train": make_split(make_images(4)), "test": make_split(make_images(4))}
    splits[split] = make_split(*BAD[bad])
    with pytest.raises(errors.UserError, match=f"picture 2 in a source {reason}"):
        shards.write(make_source(**splits), str(tmp_path / "set"))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("said", [19, 21])
def test_a_source_that_miscounts_leaves_nothing(tmp_path, said):
    split = make_split(make_images(20))

    def read(start, stop):
        return split.read(start, 20 if stop == said else stop)

    wrong = records.SourceSplit(said, split.num_bytes, read)
    with pytest.raises(RuntimeError):
        shards.write(make_source(wrong, split), str(tmp_path / "set"))
    assert not os.listdir(tmp_path)


def test_progress_is_told_of_each_example(tmp_path):
    told = []
    shards.write_with(little(), str(tmp_path / "set"), progress=told.append)
    assert sum(told) == 27


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path):
    """In a process of its own, which other tests have not grown."""
    code = (
        "import pathlib\nfrom tests.data.prepare import shards_test\n"
        f"shards_test.check_memory(pathlib.Path({str(tmp_path)!r}))"
    )
    own_process.check(code)


def check_memory(folder):
    image = make_images(1, shape=(128, 128, 3))[0]
    process = psutil.Process()
    used = []

    def read(start, stop):
        for i in range(start, stop):  # 147 MB in all.
            yield records.Item(image, 0, str(i))

    shards.write_with(
        make_source(records.SourceSplit(3000, 147_000_000, read), make_split([image])),
        str(folder / "set"),
        num_shards=2,
        progress=lambda count: used.append(process.memory_info().rss),
    )
    # The first shard is read back in between, in blocks.
    assert max(used) - used[len(used) // 10] < 60e6


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
