"""Single records of TFRecord files, by graph operations.

TensorFlow has no operation that reads a range of bytes; its reader of TFRecords takes
a place to start, checks the record's checksums, and opens local files and objects
alike. Per record it is as fast as a file is opened (tests/bench/input.py).
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sam_pod.data.input import attempts
from sam_pod.storage import files


class Records:
    """The records of some files, numbered through."""

    def __init__(self, paths: Sequence[str], offsets: Sequence[np.ndarray]) -> None:
        """Take for each file the offsets of `offsets.read`, int64 `[N + 1]`."""
        self._paths = list(paths)
        self._offsets = np.concatenate(list(offsets))
        self._ends = np.cumsum([len(part) - 1 for part in offsets])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def place(self, row: int) -> tuple[str, int, int]:
        """Return the file of a record, and where it starts and ends."""
        file = int(np.searchsorted(self._ends, row, side="right"))
        start, end = self._offsets[row + file : row + file + 2]
        return self._paths[file], int(start), int(end)

    def read(self, row: tf.Tensor) -> tf.Tensor:
        """Return the data of the record at an int64 row, a string; for a dataset's map.

        Raises DataLossError where the record is corrupt.
        """
        # Constants of the graph, because a tensor that a dataset captures does not
        # reach the other hosts of a slice.
        ends, offsets = tf.constant(self._ends), tf.constant(self._offsets)
        file = tf.searchsorted(ends, row[None], side="right", out_type=tf.int64)[0]
        start, end = offsets[row + file], offsets[row + file + 1]
        # For files that are all on s3://, and on a TPU's host on gs://, it would ask
        # for 127 MiB, whatever the buffer. The second one is never opened.
        reader = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.stack([tf.constant(self._paths)[file], ""]),
            compression_type="",
            buffer_size=end - start,  # The whole record by one request.
            byte_offsets=tf.stack([start, 0]),
        )
        spec = tf.TensorSpec([], tf.string)
        record = tf.data.experimental.from_variant(reader, spec)
        if files.is_remote(self._paths[0]):
            return attempts.persistent(record).get_single_element()
        return record.take(1).get_single_element()
