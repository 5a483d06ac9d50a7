"""What is written of a source: pixels, labels and order, in shards, and their sums."""

import dataclasses
import fractions
import os

import numpy as np
import psutil
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.stored import manifest, records, verify
from tests import own_process
from tests.data.prepare.little import (
    SHAPE,
    contents,
    little,
    make_images,
    make_source,
    make_split,
)


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


def write(source, folder, **options):
    options = shards.ShardOptions(**options)
    return shards.write_with(source, str(folder), 2, options).manifest


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_colours_behind_a_grey_image_become_grey_only_when_asked(tmp_path, encoding):
    colours = make_split(make_images(4))
    grey = make_split(make_images(20)[..., :1])
    source = dataclasses.replace(make_source(grey, colours), channels=1)
    with pytest.raises(errors.UserError, match="has colours, and the first") as raised:
        write(source, tmp_path / "set", encoding=encoding)
    assert "--channels=3" in str(raised.value)
    if encoding == "raw":
        for count in (1, 3):
            made = write(source, tmp_path / str(count), channels=count)
            assert made.image_shape[2] == count


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
