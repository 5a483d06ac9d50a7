"""The 1,797 scanned digits that scikit-learn bundles: 8x8, gray, no download."""

import hashlib
from collections.abc import Iterator

import numpy as np
from sklearn import datasets

from sam_pod.data import records

# In the order of the set, the last writers are others than the first.
NUM_TRAIN = 1347


def read() -> records.Source:
    """Return the source; its values 0 to 16 become 0 to 255."""
    digits = datasets.load_digits()
    images = np.rint(digits.images[..., np.newaxis] * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.uint8)

    def split(start: int, stop: int) -> records.Split:
        def examples() -> Iterator[tuple[np.ndarray, int]]:
            for index in range(start, stop):
                yield images[index], int(labels[index])

        return records.Split(stop - start, examples)

    return records.Source(
        name="digits",
        classes=tuple(map(str, range(10))),
        kind="scikit-learn",
        sha256=hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest(),
        splits={"train": split(0, NUM_TRAIN), "test": split(NUM_TRAIN, len(images))},
    )
