"""Where the records of a TFRecord file start, and the first that is bad.

A record is its length (uint64), the masked CRC-32C of the length, the data and their
masked CRC-32C. TensorFlow's reader takes a file that ends within a length for a whole
one, and trusts any length whose checksum is right, so files are walked over here first.
"""

import contextlib
import dataclasses
import struct
import threading
import zlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from sam_pod.data.stored.untuned import untuned
from sam_pod.storage import files

FRAME_BYTES = 16  # A record's bytes beside its data.

_HEADER = struct.Struct("<QI")


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
    offset: int  # The start of the record at fault, or the end of the file.


def scan(
    path: str,
    visit: Callable[[bytes, list[int]], object] = lambda content, starts: None,
) -> Scan:
    """Walk once over the lengths of a file's records, and the file to its end.

    Args:
        path: A path, local or in a bucket.
        visit: A function of whole records as they come, and of their starts in the
            file.
    """
    size = files.size(path)
    starts: list[int] = []
    offset = end = checksum = 0  # `offset` is of the next record.
    rest = b""  # From there on, what has been read.
    fault = ""
    for block in files.blocks(path):
        checksum, end = zlib.crc32(block, checksum), end + len(block)
        if fault:
            continue
        base, known, content = offset, len(starts), rest + block
        while not fault and offset + _HEADER.size <= end:
            length, check = _HEADER.unpack_from(content, offset - base)
            following = offset + length + FRAME_BYTES
            if masked_crc32c(content[offset - base : offset - base + 8]) != check:
                fault = "corrupt"
            elif following > size:
                fault = "truncated"
            elif following > end:
                break  # The rest of it is in the next block.
            else:
                starts.append(offset)
                offset = following
        visit(content[: offset - base], starts[known:])
        rest = content[offset - base :]
    if not fault and offset < end:
        fault = "truncated"
    return Scan(end, checksum, starts, fault, offset)


def data_of(content: bytes, start: int) -> bytes:
    """Return the data of the whole record that starts at a byte of `content`."""
    length, _ = _HEADER.unpack_from(content, start)
    first = start + _HEADER.size
    return content[first : first + length]


def starts_at_end(tail: bytes) -> list[int]:
    """Return where records start in the last bytes of a file; [] if it ends in none.

    The first found is whole, and the rest follow it up to the end.
    """
    for first in range(len(tail) - FRAME_BYTES + 1):
        starts, offset = [], first
        while offset + FRAME_BYTES <= len(tail):
            length, check = _HEADER.unpack_from(tail, offset)
            following = offset + length + FRAME_BYTES
            if following > len(tail) or check != masked_crc32c(
                tail[offset : offset + 8]
            ):
                break
            starts.append(offset)
            offset = following
        if starts and offset == len(tail):
            return starts
    return []


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[tf.data.Dataset]:
    """Yield whole records as TensorFlow's own reader sees them; it checks their data.

    Give it only what `scan` has found whole: the reader does not survive all damage.
    """
    path = f"ram://records-{threading.get_ident()}"
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)
    try:
        yield untuned(tf.data.TFRecordDataset(path))
    finally:
        tf.io.gfile.remove(path)


def first_corrupt(dataset: tf.data.Dataset, starts: list[int]) -> int | None:
    """Return the start of the first record whose data break their checksum.

    Args:
        dataset: A dataset of whole records.
        starts: The start of each record.
    """
    count = 0
    try:
        for _ in dataset:
            count += 1
    except tf.errors.DataLossError:
        return starts[count]
    return None
