"""Validation on a split of its own: all of training trains, and no more changes."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rules
from sam_pod.data.input import dataset, pipeline, reading
from sam_pod.data.prepare import shards
from sam_pod.data.sources import arrays
from sam_pod.data.stored import records, verify
from tests import runs
from tests.data import sets
from tests.training import run

SIZES = {"train": 60, "test": 20, "validation": 25}


def write(folder, *names):
    """Write a set of these splits; image i of all is of the colour that spells i."""
    splits, start = {}, 0
    for name, size in SIZES.items():
        images = np.stack([sets.flat(i) for i in range(start, start + size)])
        if name in names:
            splits[name] = arrays.split(name, images, np.arange(size) % 4)
        start += size
    source = records.Source(
        name="images",
        classes=tuple("abcd"),
        kind="test",
        place="here",
        fingerprint="",
        splits=splits,
    )
    return shards.write(source, str(folder), num_shards=2)


def config_of(tmp_path, folder, **more):
    values = {"data.dir": str(folder), "data.validation_examples": 10, "num_epochs": 1}
    return runs.small_config(tmp_path, **values, **more)


@pytest.mark.slow
def test_the_stored_split_is_validated_on_and_all_of_training_trains(tmp_path):
    folder = tmp_path / "set"
    made = write(folder, "train", "test", "validation")
    assert list(made.splits) == ["train", "test", "validation"]
    config = config_of(tmp_path, folder, **{"data.validation": "split"})
    data = dataset.load(config)
    splits = data.splits(dataset.held_out(config))
    seen = {}
    for name, split in splits.items():
        batches = split.reader.held(
            tf.data.Dataset.from_tensors(
                reading.Places(tf.range(split.num_examples, dtype=tf.int64))
            ),
            pipeline.all_rows(split),
        )
        images, labels = next(iter(batches))
        seen[name] = sets.numbers(images)
        assert len(labels) == SIZES[name]
    assert sorted(seen["train"]) == list(range(60))
    assert seen["test"].tolist() == list(range(60, 80))
    assert seen["validation"].tolist() == list(range(80, 105))
    result = run(config, tmp_path / "run")
    assert result["steps"] == 60 // 16


@pytest.mark.slow
def test_a_stored_split_that_is_not_asked_for_changes_nothing(tmp_path):
    write(tmp_path / "without", "train", "test")
    write(tmp_path / "with", "train", "test", "validation")
    found = [
        run(config_of(tmp_path, tmp_path / name), tmp_path / f"run {name}")
        for name in ("without", "with")
    ]
    for key in ("test_loss", "steps"):
        assert found[0][key] == found[1][key], key


def test_a_set_without_one_is_refused_in_a_line(tmp_path):
    write(tmp_path / "set", "train", "test")
    config = config_of(tmp_path, tmp_path / "set", **{"data.validation": "split"})
    with pytest.raises(errors.UserError, match="has no split 'validation'; it has tr"):
        dataset.load(config).splits(dataset.held_out(config))
    config.data.validation = "spilt"
    with pytest.raises(errors.UserError, match=r"`data\.validation` is 'spilt'"):
        rules.validate(config)


def test_files_of_others_that_name_none_are_refused_with_the_key():
    config = config_lib.defaults()
    for key, value in {"train": "train-*", "test": "test-*"}.items():
        config.data.files[key] = value
    config.data.num_classes, config.data.validation = 2, "split"
    with pytest.raises(errors.UserError, match=r"`data\.files\.validation` is ''"):
        rules.validate(config)
    config.data.files.validation = "val-*"
    rules.validate(config)


def test_what_is_validated_on_is_part_of_what_a_run_is(tmp_path):
    old = config_lib.defaults()
    new = config_lib.defaults()
    new.data.validation = "split"
    assert config_lib.digest(old) != config_lib.digest(new)
    before = old.to_dict()
    del before["data"]["validation"]  # As a version wrote it that had no such key.
    before = config_lib.lay_over_defaults(before, "config.json")
    assert config_lib.differences(before, old) == []
    changed = [key for key, _, _ in config_lib.differences(before, new)]
    assert changed == ["data.validation"]


def test_its_files_are_checked_as_the_others_are(tmp_path):
    made = write(tmp_path / "set", "train", "test", "validation")
    file = tmp_path / "set" / made.splits["validation"][1].file
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(errors.UserError, match="validation-00001-of-00002"):
        verify.check(tmp_path / "set", made)
