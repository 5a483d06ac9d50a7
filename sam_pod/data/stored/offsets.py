"""The offset index of a TFRecord file: where each record starts.

Little-endian int64, one more than there are records: the byte offset of each record's
frame, then the file's size. Record i's frame is [o[i], o[i + 1]), its data are
[o[i] + 12, o[i + 1] - 4).
"""

import os
import zlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.stored import framing

SUFFIX = ".index"

_TYPE = np.dtype("<i8")


def file_name(shard: str) -> str:
    """Return the name or path of the index beside a shard, X.index of X.tfrecord."""
    return shard.removesuffix(".tfrecord") + SUFFIX


def of_scan(scan: framing.Scan) -> np.ndarray:
    """Return the offsets that a scan without fault has found, int64 `[N + 1]`."""
    return np.array([*scan.starts, scan.num_bytes], np.int64)


def encode(starts: Sequence[int], num_bytes: int) -> bytes:
    """Return the content of an index.

    Args:
        starts: The byte offset of each record.
        num_bytes: The size of the file that has them.
    """
    return np.append(np.asarray(starts, _TYPE), _TYPE.type(num_bytes)).tobytes()


def write(path: str, starts: Sequence[int], num_bytes: int) -> int:
    """Write the index at `path`; return the zlib.crc32 of its content."""
    content = encode(starts, num_bytes)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)
    return zlib.crc32(content)


def read(path: str) -> np.ndarray:
    """Return the offsets in the index at `path`, int64 `[N + 1]`.

    Raises:
        UserError: it holds no offsets.
    """
    with tf.io.gfile.GFile(os.fspath(path), "rb") as file:
        return decode(file.read(), path)


def decode(content: bytes, path: str) -> np.ndarray:
    """Return the offsets in `content`, which was read from `path`, int64 `[N + 1]`.

    Raises:
        UserError: it holds no offsets.
    """
    offsets = np.frombuffer(content[: len(content) // 8 * 8], _TYPE).astype(np.int64)
    is_whole = len(content) == offsets.nbytes > 0 and not offsets[0]
    # No record is shorter than its frame.
    if not is_whole or (np.diff(offsets) < framing.FRAME_BYTES).any():
        raise errors.UserError(
            f"{path} is no index of a TFRecord file: its {len(content)} bytes are not "
            "rising int64 offsets. Delete it: it is made again by a scan."
        )
    return offsets
