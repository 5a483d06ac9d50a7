"""Where the records of a TFRecord file start, and the first that is bad.

A record is its length (uint64), the masked CRC-32C of the length, the data and their
masked CRC-32C. TensorFlow's reader takes a file that ends within a length for a whole
one, and trusts any length whose checksum is right: hence a walk of our own.
"""

import dataclasses
import struct
import zlib
from collections.abc import Iterator

import tensorflow as tf

FRAME_BYTES = 16  # Of a record beside its data.

_HEADER = struct.Struct("<QI")
_BLOCK_BYTES = 1 << 23


def _crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc32c_table()


def masked_crc32c(data: bytes) -> int:
    """Return the checksum that TFRecord files use; meant for a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@dataclasses.dataclass(frozen=True)
class Scan:
    """What one pass over a file has found."""

    num_bytes: int
    crc32: int  # zlib.crc32 of the whole file.
    starts: list[int]  # Byte offset of each whole record, up to the fault.
    fault: str  # 'truncated' or 'corrupt', or '' when every length is right.
    offset: int  # Of the record at fault, or the end of the file.


def _blocks(path: str) -> Iterator[bytes]:
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def scan(path: str) -> Scan:
    """Walk over the lengths of a file's records; their data are not looked at."""
    starts: list[int] = []
    offset = end = checksum = 0  # `offset` is of the next record.
    tail = b""  # Read before this block, not yet walked over.
    corrupt = False
    for block in _blocks(path):
        checksum = zlib.crc32(block, checksum)
        buffer, base, end = tail + block, end - len(tail), end + len(block)
        while not corrupt and offset + _HEADER.size <= end:
            at = offset - base
            length, check = _HEADER.unpack_from(buffer, at)
            corrupt = masked_crc32c(buffer[at : at + 8]) != check
            if not corrupt:
                starts.append(offset)
                offset += length + FRAME_BYTES
        tail = b"" if corrupt else buffer[offset - base :]
    if not corrupt and offset > end:
        offset = starts.pop()
    fault = "corrupt" if corrupt else "truncated" if offset < end else ""
    return Scan(end, checksum, starts, fault, offset)


def first_corrupt(path: str, starts: list[int]) -> int | None:
    """Return the offset of the first record whose data break their checksum."""
    count = 0
    try:
        # No further than the walk came: the reader crashes on an absurd length.
        for _ in tf.data.TFRecordDataset(path).take(len(starts)):
            count += 1
    except tf.errors.DataLossError:
        return starts[count]
    return None
