import zlib

import pytest
import tensorflow as tf

from sam_pod.data.stored import framing
from sam_pod.storage import objects

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
    monkeypatch.setattr(objects, "BLOCK_BYTES", block)
    content = path.read_bytes()
    assert framing.scan(str(path)) == framing.Scan(
        len(content), zlib.crc32(content), ends()[:-1], "", len(content)
    )


@pytest.mark.parametrize("block", [1, 12, 1 << 20])
def test_every_truncation_is_found(path, monkeypatch, block):
    monkeypatch.setattr(objects, "BLOCK_BYTES", block)
    content = path.read_bytes()
    for size in [*range(150), *range(len(content) - 40, len(content))]:
        path.write_bytes(content[:size])
        scan = framing.scan(str(path))
        offset = max(end for end in ends() if end <= size)
        assert scan.fault == ("" if size == offset else "truncated"), size
        assert scan.offset == offset
        assert scan.starts == [end for end in ends() if end < offset]


def test_the_last_records_are_found_from_any_byte_before_them(path):
    content = path.read_bytes()
    for begin in [*range(150), *range(150, len(content), 50)]:
        expected = [end - begin for end in ends()[:-1] if end >= begin]
        assert framing.starts_at_end(content[begin:]) == expected
    for size in range(1, 17 + framing.FRAME_BYTES):
        assert framing.starts_at_end(content[:-size]) == []
    assert framing.starts_at_end(content[1:] + bytes(20)) == []


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


@pytest.mark.parametrize("block", [1, 13, 117, 1 << 20])
def test_whole_records_are_visited_once_each(path, monkeypatch, block):
    monkeypatch.setattr(objects, "BLOCK_BYTES", block)
    contents, seen = [], []

    def visit(content, starts):
        assert bool(content) == bool(starts)
        contents.append(content)
        seen.extend(starts)

    framing.scan(str(path), visit)
    assert b"".join(contents) == path.read_bytes()
    assert seen == ends()[:-1]


@pytest.mark.parametrize("length", [10**6, 2**63])
def test_an_absurd_length_keeps_nothing_in_memory(path, monkeypatch, length):
    monkeypatch.setattr(objects, "BLOCK_BYTES", 50)
    looks, checksum = [], framing.masked_crc32c
    monkeypatch.setattr(
        framing, "masked_crc32c", lambda data: (looks.append(data), checksum(data))[1]
    )
    framing.scan(str(path))
    looks_before = len(looks)
    header = length.to_bytes(8, "little")
    header += checksum(header).to_bytes(4, "little")
    path.write_bytes(path.read_bytes() + header + b"x" * 5000)
    contents = []
    scan = framing.scan(str(path), lambda content, starts: contents.append(content))
    assert (scan.fault, scan.offset) == ("truncated", ends()[-1])
    assert scan.num_bytes == len(path.read_bytes())
    assert sum(map(len, contents)) == ends()[-1]
    # At once, not at each block that might have brought the rest of it.
    assert len(looks) == 2 * looks_before + 1


def test_flipped_data_are_found(path):
    content = path.read_bytes()
    starts = framing.scan(str(path)).starts

    def first_corrupt(content):
        with framing.in_memory(content) as dataset:
            return framing.first_corrupt(dataset, starts)

    assert first_corrupt(content) is None
    for start, size in zip(starts, SIZES, strict=True):
        flipped = bytearray(content)
        flipped[start + 12 + size] ^= 1
        path.write_bytes(flipped)
        assert framing.scan(str(path)).fault == ""
        assert first_corrupt(bytes(flipped)) == start
    assert not tf.io.gfile.glob("ram://records*")
