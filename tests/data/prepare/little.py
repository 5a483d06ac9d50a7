"""Small sources made on the spot."""

import numpy as np

from sam_pod.data.stored import records

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
