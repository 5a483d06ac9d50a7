"""The index says where every record is, to the byte."""

import itertools
import zlib

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.stored import framing, offsets

RECORDS = [b"a" * 100, b"", b"b", b"c" * 3000]


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "train-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    return path


def test_the_index_lies_beside_its_shard():
    assert offsets.file_name("gs://b/train-0.tfrecord") == "gs://b/train-0.index"
    assert offsets.file_name("train-00000-of-01024") == "train-00000-of-01024.index"
    name = "x-train.tfrecord-00000-of-00016"
    assert offsets.file_name(name) == f"{name}.index"


def test_records_are_cut_out_of_the_file_by_their_offsets(shard):
    scan = framing.scan(str(shard))
    index = shard.with_suffix(".index")
    checksum = offsets.write(str(index), scan.starts, scan.num_bytes)
    assert checksum == zlib.crc32(index.read_bytes())
    found = offsets.read(index)
    assert found.dtype == np.int64 and len(found) == len(RECORDS) + 1
    np.testing.assert_array_equal(found, offsets.of_scan(scan))
    content = shard.read_bytes()
    payloads = [
        content[start + 12 : end - 4] for start, end in itertools.pairwise(found)
    ]
    assert payloads == RECORDS


def test_the_bytes_are_little_endian_int64(tmp_path):
    path = tmp_path / "x.index"
    offsets.write(str(path), [0, 300], 2**40)
    assert path.read_bytes() == b"".join(
        number.to_bytes(8, "little") for number in (0, 300, 2**40)
    )


def test_an_empty_file_has_an_index_of_its_size_alone(tmp_path):
    path = tmp_path / "x.index"
    offsets.write(str(path), [], 0)
    np.testing.assert_array_equal(offsets.read(path), [0])


@pytest.mark.parametrize(
    "content",
    [b"", b"123", bytes(9), offsets.encode([0, 20, 15], 90), offsets.encode([4], 90)],
    ids=["empty", "odd", "not a multiple of 8", "falls", "starts late"],
)
def test_what_is_no_index_is_refused(tmp_path, content):
    path = tmp_path / "x.index"
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=r"x\.index is no index.*Delete it"):
        offsets.read(path)
