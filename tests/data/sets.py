"""Data sets written by hand: raw and encoded, ours and those of others.

Image i is of one colour that spells i, so that any part of it shows which it is.
"""

import zlib

import numpy as np
import tensorflow as tf

from sam_pod.data.stored import framing, manifest, offsets

CLASSES = 5


def color(number):
    return np.array([number // 8 * 8 % 256, number % 8 * 32, number // 256 * 64])


def flat(number, size=(8, 8)):
    """Return image `number`, one colour all over."""
    return np.broadcast_to(color(number).astype(np.uint8), (*size, 3)).copy()


def numbers(images):
    """Return which images of `flat` these are, from any pixel of theirs."""
    pixels = np.asarray(images)[:, 0, 0].astype(int)
    return pixels[:, 0] + np.rint(pixels[:, 1] / 32).astype(int) + pixels[:, 2] * 4


def noisy(number, size=(8, 8)):
    """Return image `number` with every pixel its own."""
    return np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)


def png(image):
    return tf.io.encode_png(image).numpy()


def jpeg(image):
    return tf.io.encode_jpeg(image, quality=95).numpy()


def serialized(image, label, names=("image", "label")):
    example = tf.train.Example()
    content = image if isinstance(image, bytes) else image.tobytes()
    example.features.feature[names[0]].bytes_list.value.append(content)
    example.features.feature[names[1]].int64_list.value.append(label)
    return example.SerializeToString(deterministic=True)


def write_file(path, examples):
    """Write serialized examples as one TFRecord file; return the scan of it."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)
    return framing.scan(str(path))


def write(folder, images, *, tests=None, shards=3, version=2):
    """Write a prepared set of (image or its bytes) and return its manifest.

    Labels are i % CLASSES. `tests` are the images of the other split.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, content in (
        ("train", images),
        ("test", images[:7] if tests is None else tests),
    ):
        splits[split] = tuple(
            _write_shard(folder / f"{split}-{i}.tfrecord", content, part, version)
            for i, part in enumerate(np.array_split(np.arange(len(content)), shards))
        )
    is_encoded = isinstance(images[0], bytes)
    made = manifest.Manifest(
        schema_version=version,
        name="images",
        classes=tuple(f"class {i}" for i in range(CLASSES)),
        image_encoding="encoded" if is_encoded else "raw",
        image_shape=(0, 0, 3) if is_encoded else images[0].shape,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        source={"kind": "test", "sha256": "0" * 64},
        splits=splits,
    )
    (folder / manifest.FILE_NAME).write_text(made.to_json())
    return made


def _write_shard(path, images, part, version):
    scan = write_file(path, [serialized(images[i], int(i) % CLASSES) for i in part])
    checksum = None
    if version > 1:
        index = offsets.file_name(str(path))
        checksum = offsets.write(index, scan.starts, scan.num_bytes)
    return manifest.Shard(
        path.name, len(part), scan.num_bytes, zlib.crc32(path.read_bytes()), checksum
    )


def all_offsets(folder, made):
    """Return what `reading.View.offsets` is of a set that `write` wrote."""
    return {
        split: [
            offsets.of_scan(framing.scan(str(folder / shard.file))) for shard in shards
        ]
        for split, shards in made.splits.items()
    }
