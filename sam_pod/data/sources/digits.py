"""The 1,797 scanned digits that scikit-learn bundles: 8x8, gray, no download."""

import hashlib

import numpy as np
from sklearn import datasets

from sam_pod.data.sources import arrays
from sam_pod.data.stored import records

# The order of the set is kept: its last writers are not its first ones.
NUM_TRAIN = 1347


def read() -> records.Source:
    """Return the source; its values 0 to 16 become 0 to 255."""
    digits = datasets.load_digits()
    images = np.rint(digits.images[..., np.newaxis] * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    checksum = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return records.Source(
        name="digits",
        classes=tuple(map(str, range(10))),
        kind="scikit-learn",
        place="scikit-learn's digits",
        fingerprint=checksum,
        sha256=checksum,
        channels=1,
        splits={
            "train": arrays.split("train", images[:NUM_TRAIN], labels[:NUM_TRAIN]),
            "test": arrays.split("test", images[NUM_TRAIN:], labels[NUM_TRAIN:]),
        },
    )
