import zlib

import pytest
import tensorflow as tf

from sam_pod.data import framing

SIZES = (100, 0, 1, 3000, 17)


@pytest.fixture
def path(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "file")) as writer:
        for size in SIZES:
            writer.write(bytes([size % 251]) * size)
    return tmp_path / "file"


def ends():
    """Return where the records start, and where the last one ends."""
    places = [0]
    for size in SIZES:
        places.append(places[-1] + 8 + 4 + size + 4)
    return places


def test_the_checksum_is_the_one_of_tensorflow(path):
    content = path.read_bytes()
    for start, size in zip(ends(), SIZES, strict=False):
        stored = int.from_bytes(content[start + 12 + size :][:4], "little")
        assert framing.masked_crc32c(bytes([size % 251]) * size) == stored


@pytest.mark.parametrize("block", [1, 5, 12, 13, 117, 1 << 20])
def test_a_scan_does_not_depend_on_the_size_of_its_blocks(path, monkeypatch, block):
    monkeypatch.setattr(framing, "_BLOCK_BYTES", block)
    content = path.read_bytes()
    assert framing.scan(str(path)) == framing.Scan(
        len(content), zlib.crc32(content), ends()[:-1], "", len(content)
    )


@pytest.mark.parametrize("block", [1, 12, 1 << 20])
def test_every_truncation_is_found(path, monkeypatch, block):
    monkeypatch.setattr(framing, "_BLOCK_BYTES", block)
    content = path.read_bytes()
    for size in [*range(150), *range(len(content) - 40, len(content))]:
        path.write_bytes(content[:size])
        scan = framing.scan(str(path))
        offset = max(end for end in ends() if end <= size)
        assert scan.fault == ("" if size == offset else "truncated"), size
        assert scan.offset == offset
        assert scan.starts == [end for end in ends() if end < offset]


def test_every_flipped_byte_of_a_length_is_found(path):
    content = path.read_bytes()
    for start in ends()[:-1]:
        for place in range(start, start + 12):
            flipped = bytearray(content)
            flipped[place] ^= 0x40
            path.write_bytes(flipped)
            scan = framing.scan(str(path))
            assert (scan.fault, scan.offset) == ("corrupt", start)
            assert scan.crc32 == zlib.crc32(flipped)  # The walk ends, not the sum.


def test_flipped_data_are_found(path):
    content = path.read_bytes()
    starts = framing.scan(str(path)).starts
    assert framing.first_corrupt(str(path), starts) is None
    for start, size in zip(starts, SIZES, strict=True):
        flipped = bytearray(content)
        flipped[start + 12 + size] ^= 1
        path.write_bytes(flipped)
        assert framing.scan(str(path)).fault == ""
        assert framing.first_corrupt(str(path), starts) == start
