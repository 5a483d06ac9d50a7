"""Little data sets in the formats in which the real ones are published."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import scipy.io
import tensorflow as tf


def image(seed, shape=(6, 4, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def png(pixels):
    return tf.io.encode_png(pixels).numpy()


def jpeg(pixels):
    return tf.io.encode_jpeg(pixels, quality=90).numpy()


def tar(members, mode="w"):
    """Return the bytes of a tar of names and contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return file.getvalue()


def idx(array, *, packed=True):
    """Return an IDX file of bytes."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.tobytes()
    return gzip.compress(content) if packed else content


def mat(path, images, labels):
    """Write a file as SVHN has them: examples last, 10 for the digit 0."""
    labels = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    scipy.io.savemat(path, {"X": np.moveaxis(images, 0, -1), "y": labels})


def tree(root, counts, shape=(6, 4, 3)):
    """Write images at <split>/<class>/<index>.png; the pixels show which it is."""
    seed = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for index in range(count):
            seed += 1
            (root / folder / f"{index:04d}.png").write_bytes(png(image(seed, shape)))
    return root


def items(source, split):
    part = source.splits[split]
    return list(part.read(0, part.num_examples))


def check_random_access(source):
    """Assert that any part of a split is what it is within the whole.

    It is read as another process reads it: by what was pickled.
    """
    for split, part in source.splits.items():
        whole = items(source, split)
        size, there = part.num_examples, pickle.loads(pickle.dumps(part))
        assert len(whole) == size
        for start, stop in ((0, 1), (size // 2, size), (1, size - 1)):
            for one, other in zip(
                there.read(start, stop), whole[start:stop], strict=True
            ):
                assert (one.label, one.key) == (other.label, other.key)
                np.testing.assert_array_equal(one.image, other.image)
