"""The images of input.py, made on the spot, as each contender wants them."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import pathlib
import sys

import numpy as np
import tensorflow as tf

from tests.data import sets

NUM_SMALL = 50_000


def write_small(folder):
    """Write small.npy, and small_set as `prepare` writes raw images."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (NUM_SMALL, 32, 32, 3), dtype=np.uint8)
    np.save(folder / "small.npy", images)
    sets.write(folder / "small_set", images, tests=images[:8], shards=8)


def write_large(folder, count):
    """Write JPEGs of 500x375 as files, and as large_set."""
    contents = [large(i) for i in range(count)]
    (folder / "large").mkdir()
    for i, content in enumerate(contents):
        (folder / "large" / f"{i:06d}.jpg").write_bytes(content)
    sets.write(folder / "large_set", contents, tests=contents[:8], shards=8)


def large(number):
    """Return a picture with smooth parts and grain, of 75 kB as a JPEG."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:375, 0:500]
    waves = [np.sin(x / a + y / b) for a, b in random.uniform(9, 60, (3, 2))]
    pixels = 127 + 70 * np.stack(waves, -1) + random.normal(0, 12, (375, 500, 3))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return tf.io.encode_jpeg(pixels, quality=90).numpy()


def main():
    kinds, folder, num_large = sys.argv[1:]
    folder = pathlib.Path(folder)
    if "small" in kinds:
        write_small(folder)
    if "large" in kinds:
        write_large(folder, int(num_large))


if __name__ == "__main__":
    main()
