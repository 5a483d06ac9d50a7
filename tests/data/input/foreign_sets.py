"""TFRecord sets of others, in both of the usual layouts, made on the spot."""

import numpy as np
import pytest

from sam_pod.data.input import foreign
from sam_pod.data.stored import features
from tests.data import sets

IMAGENET = features.Features("image/encoded", "image/class/label", -1)
TRAIN, TEST = 41, 13


def images():
    return [sets.jpeg(sets.noisy(i, (9 + i % 4, 12))) for i in range(TRAIN + TEST)]


def write(folder, patterns, names=("image", "label"), first=0):
    """Write a set in files of the names that `patterns` give, by split."""
    folder.mkdir()
    for pattern, rows, count in (
        (patterns[0], range(TRAIN), 4),
        (patterns[1], range(TRAIN, TRAIN + TEST), 2),
    ):
        for i, part in enumerate(np.array_split(rows, count)):
            sets.write_file(
                folder / pattern.format(i, count),
                [
                    sets.serialized(images()[row], int(row) % 5 + first, names)
                    for row in part
                ],
            )
    return folder


def layout(patterns, names=features.PREPARED, num_classes=5):
    patterns = dict(zip(("train", "test"), patterns, strict=True))
    return foreign.ForeignFiles("foreign", patterns, names, num_classes)


TFDS = layout(("set-train.tfrecord-*", "set-test.tfrecord-*"))
CLASSIC = layout(("train-*", "validation-*"), IMAGENET)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tfds(tmp_path):
    names = (
        "set-train.tfrecord-{:05d}-of-{:05d}",
        "set-test.tfrecord-{:05d}-of-{:05d}",
    )
    folder = write(tmp_path / "tfds", names)
    (folder / "dataset_info.json").write_text("{}")  # As TFDS does.
    return folder


@pytest.fixture
def classic(tmp_path):
    names = ("train-{:05d}-of-{:05d}", "validation-{:05d}-of-{:05d}")
    keys = (IMAGENET.image, IMAGENET.label)
    return write(tmp_path / "classic", names, keys, first=1)
