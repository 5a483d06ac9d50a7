"""TFRecord sets of others: what is read of them, and what is kept of a scan."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import foreign, pipeline, random_access, reading
from sam_pod.data.stored import features, framing
from tests.data import sets
from tests.data.input import foreign_sets
from tests.data.input.foreign_sets import (
    CLASSIC,
    TEST,
    TFDS,
    TRAIN,
    images,
    layout,
    write,
)
from tests.data.input.opened import take

cache = foreign_sets.cache
tfds = foreign_sets.tfds
classic = foreign_sets.classic


@pytest.mark.parametrize("kind", ["tfds", "classic"])
@pytest.mark.parametrize("is_held", [pytest.param(True, marks=pytest.mark.slow), False])
def test_both_layouts_are_read(request, kind, is_held):
    folder = request.getfixturevalue(kind)
    layout = {"tfds": TFDS, "classic": CLASSIC}[kind]
    made, offsets = foreign.read(str(folder), layout)
    assert [made.num_examples(split) for split in made.splits] == [TRAIN, TEST]
    assert (made.image_encoding, made.image_shape) == ("encoded", (0, 0, 3))
    assert len(made.classes) == 5
    splits = pipeline.splits(
        str(folder),
        made,
        9,
        reading.View(
            image_size=8, is_held=is_held, names=layout.names, offsets=offsets
        ),
    )
    seen, labels, _ = take(
        pipeline.evaluation(splits["test"], global_batch_size=TEST), 1
    )[0]
    np.testing.assert_array_equal(labels, np.arange(TRAIN, TRAIN + TEST) % 5)
    folder = folder.parent / "ours"
    ours = sets.write(folder, images()[:TRAIN], tests=images()[TRAIN:])
    ours = pipeline.splits(str(folder), ours, 9, reading.View(image_size=8))
    expected = take(pipeline.evaluation(ours["test"], global_batch_size=TEST), 1)
    np.testing.assert_array_equal(seen, expected[0][0])


def test_mean_and_deviation_are_those_of_the_training_pixels(tfds):
    made, _ = foreign.read(str(tfds), TFDS)
    pixels = np.concatenate(
        [
            # As training decodes them; TensorFlow's default method differs by 1.2 of
            # 255 on average.
            tf.io.decode_jpeg(i, 3, dct_method="INTEGER_ACCURATE")
            .numpy()
            .reshape(-1, 3)
            for i in images()[:TRAIN]
        ]
    )
    np.testing.assert_allclose(made.mean, pixels.mean(0) / 255, rtol=1e-9)
    np.testing.assert_allclose(made.std, pixels.std(0) / 255, rtol=1e-9)


def count_scans(monkeypatch):
    scanned, original = [], framing.scan

    def scan(path, *arguments):
        scanned.append(os.path.basename(path))
        return original(path, *arguments)

    monkeypatch.setattr(framing, "scan", scan)
    return scanned


def test_files_are_scanned_once_and_again_where_they_change(tfds, monkeypatch):
    scanned = count_scans(monkeypatch)
    made, offsets = foreign.read(str(tfds), TFDS)
    assert len(scanned) == 6
    again, offsets_again = foreign.read(str(tfds), TFDS)
    assert len(scanned) == 6 and again == made
    for split in offsets:
        for one, other in zip(offsets[split], offsets_again[split], strict=True):
            np.testing.assert_array_equal(one, other)
    changed = tfds / "set-train.tfrecord-00002-of-00004"
    sets.write_file(changed, [sets.serialized(images()[0], 0)])
    scanned.clear()
    after, _ = foreign.read(str(tfds), TFDS)
    assert scanned == [changed.name]
    assert after.digest() != made.digest()
    assert after.num_examples("train") == TRAIN - 10 + 1


def test_a_touched_file_is_scanned_and_found_the_same(tfds, monkeypatch):
    made, _ = foreign.read(str(tfds), TFDS)
    scanned = count_scans(monkeypatch)
    path = tfds / "set-test.tfrecord-00000-of-00002"
    os.utime(path, ns=(0, 0))
    assert foreign.read(str(tfds), TFDS)[0].digest() == made.digest()
    assert scanned == [path.name]


def test_what_cannot_be_kept_beside_the_data_is_kept_in_the_users_cache(
    tfds, cache, monkeypatch
):
    (tfds / ".sam_pod").write_text("a file where the folder would be")
    made, _ = foreign.read(str(tfds), TFDS)
    assert list(cache.rglob("*.json"))
    scanned = count_scans(monkeypatch)
    assert foreign.read(str(tfds), TFDS)[0] == made
    assert not scanned


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        '{"a": 1}',
        *(
            pytest.param(content, marks=pytest.mark.slow)
            for content in ("", '[{"file": "x"}]', "[1]")
        ),
    ],
)
def test_what_was_kept_and_is_damaged_is_found_out_anew(tfds, content):
    made, _ = foreign.read(str(tfds), TFDS)
    for path in (tfds / ".sam_pod").iterdir():
        path.write_text(content)
    assert foreign.read(str(tfds), TFDS)[0] == made


def test_other_features_are_another_scan(tfds, classic):
    foreign.read(str(classic), CLASSIC)
    with pytest.raises(errors.UserError, match=r"with 'image' .bytes. and 'label'"):
        foreign.read(str(classic), layout(("train-*", "validation-*")))


def test_a_storage_that_does_not_answer_is_no_fault_of_the_set(tfds, monkeypatch):
    def read(self, row):
        del self, row
        return tf.py_function(lost, [], tf.string)

    def lost():
        raise tf.errors.UnavailableError(None, None, "nobody answers")

    monkeypatch.setattr(random_access.Records, "read", read)
    # As TensorFlow reports what a function of Python raises.
    with pytest.raises(tf.errors.UnknownError, match="nobody answers"):
        foreign.read(str(tfds), TFDS)


def test_what_is_kept_names_no_path(tfds):
    """The data may be seen elsewhere under another name."""
    foreign.read(str(tfds), TFDS)
    for path in (tfds / ".sam_pod").iterdir():
        assert str(tfds) not in path.read_text()
        json.loads(path.read_text())


def test_an_interruption_ends_the_scan(tfds):
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        foreign.read(str(tfds), TFDS, check)


def test_files_in_folders_are_found_by_a_pattern_with_a_slash(tmp_path):
    names = ("train/train-{:05d}-of-{:05d}", "validation/val-{:05d}-of-{:05d}")
    for folder in ("train", "validation"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    os.rename(tmp_path / "set", tmp_path / "there")
    write(tmp_path / "set", ("a-{}-{}", "b-{}-{}"))
    for path in sorted((tmp_path / "set").iterdir()):
        folder = int(path.name[0] == "b")
        index, count = map(int, path.name[2:].split("-"))
        path.rename(tmp_path / "there" / names[folder].format(index, count))
    for patterns in (("train/train-*", "validation/*"), ("tr*/*", "val*/val-*")):
        made, offsets = foreign.read(str(tmp_path / "there"), layout(patterns))
        assert [made.num_examples(split) for split in made.splits] == [TRAIN, TEST]
        sample = random_access.Records(
            [str(tmp_path / "there" / shard.file) for shard in made.splits["train"]],
            offsets["train"],
        )
        assert len(sample) == TRAIN
    with pytest.raises(errors.UserError, match=r"fits the folder train: .* 'train\*/"):
        foreign.read(str(tmp_path / "there"), layout(("train*", "validation/*")))


def test_a_validation_split_of_its_own_is_read(tfds, caplog):
    patterns = {
        "train": "set-train.tfrecord-0000[0-2]*",
        "test": "set-test*",
        "validation": "set-train.tfrecord-00003*",
    }
    how = foreign.ForeignFiles("foreign", patterns, features.PREPARED, 5)
    made, offsets = foreign.read(str(tfds), how)
    assert [made.num_examples(split) for split in ("train", "validation")] == [31, 10]
    assert len(offsets["validation"]) == 1
    assert "may be incomplete" not in caplog.text


def test_a_numbered_file_that_is_missing_is_said(tfds, caplog):
    (tfds / "set-train.tfrecord-00001-of-00004").unlink()
    foreign.read(str(tfds), TFDS)
    (line,) = (m for m in caplog.messages if "may be incomplete" in m)
    assert "set-train.tfrecord-…-of-00004 only 3 are there" in line
