"""A small prepared set, and what a test changes in it by hand."""

import json
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import arrays
from sam_pod.data.stored import framing, manifest, offsets, records, schema, verify

SHAPE = (7, 5, 3)
CLASSES = ("ant", "bee", "cow")


def make_source(num_train=40, num_test=13):
    def split(name, size, seed):
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (size, *SHAPE), np.uint8)
        return arrays.split(name, images, np.arange(size) % len(CLASSES))

    return records.Source(
        name="little",
        classes=CLASSES,
        kind="made",
        place="nowhere",
        fingerprint="",
        splits={
            "train": split("train", num_train, 1),
            "test": split("test", num_test, 2),
        },
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifest") / "original"
    shards.write(make_source(), str(folder), num_shards=3)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def edit(folder, change):
    """Apply `change` to the JSON of the manifest, and its digest with it."""
    path = folder / manifest.FILE_NAME
    data = json.loads(path.read_text())
    data = change(data) or data
    if isinstance(data, dict) and data.pop("digest", None):
        data["digest"] = schema.sha256(data)
    path.write_text(json.dumps(data))


def first_shard(folder):
    """Return the path of the first shard and where its records start and end."""
    path = folder / manifest.read(folder).splits["train"][0].file
    ends = [0]
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        ends.append(ends[-1] + len(record) + 16)
    assert ends[-1] == path.stat().st_size
    return path, ends


def refusal(folder):
    """Return the one line with which the data set is refused."""
    with pytest.raises(errors.UserError) as raised:
        verify.check(folder, manifest.read(folder))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def adopt(folder, path, num_examples=None):
    """Make the manifest say what `path` is: a set made by hand."""
    content = path.read_bytes()
    said = {"num_bytes": len(content), "crc32": zlib.crc32(content)}
    if num_examples is not None:
        said["num_examples"] = num_examples

    def change(data):
        for part in data["splits"].values():
            for shard in part:
                if shard["file"] == path.name:
                    shard.update(said)

    edit(folder, change)


def index(folder, path):
    """Write the index of a shard made by hand, and enter it in the manifest."""
    scan = framing.scan(str(path))
    checksum = offsets.write(offsets.file_name(str(path)), scan.starts, scan.num_bytes)

    def change(data):
        data["splits"]["train"][0]["index_crc32"] = checksum

    edit(folder, change)


def rewrite(folder, index, record):
    """Replace one record of the first shard; return the shard's path and an offset."""
    path, ends = first_shard(folder)
    contents = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    contents[index] = record
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
    adopt(folder, path)
    return path, ends[index]


def example(**features):
    kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
    message = tf.train.Example()
    for name, values in features.items():
        kind = getattr(message.features.feature[name], kinds[type(values[0])])
        kind.value.extend(values)
    return message.SerializeToString()


IMAGE = b"\7" * 105
