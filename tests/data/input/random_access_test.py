"""Any record of any file by its number, and its checksum is checked."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input import random_access
from sam_pod.data.stored import offsets
from tests.data import sets

FILES = [[b"a" * 100, b"", b"b"], [], [b"c" * 3000, b"d"]]
ALL = [record for file in FILES for record in file]


@pytest.fixture
def records(tmp_path):
    paths = [str(tmp_path / f"{i}") for i in range(len(FILES))]
    found = [
        offsets.of_scan(sets.write_file(path, file))
        for path, file in zip(paths, FILES, strict=True)
    ]
    return random_access.Records(paths, found)


def read(records, rows):
    dataset = tf.data.Dataset.from_tensor_slices(np.array(rows, np.int64))
    return [r.numpy() for r in dataset.map(records.read, num_parallel_calls=3)]


def test_every_record_has_its_number(records):
    assert len(records) == len(ALL)
    assert read(records, [4, 0, 2, 1, 3, 0]) == [ALL[i] for i in (4, 0, 2, 1, 3, 0)]


def test_places_are_where_the_records_are(records):
    for row, record in enumerate(ALL):
        path, start, end = records.place(row)
        with open(path, "rb") as file:
            assert file.read()[start + 12 : end - 4] == record


@pytest.mark.parametrize("byte", [3, 9, 14, 3013], ids=["length", "", "data", "crc"])
def test_a_flipped_byte_of_a_record_is_met_when_it_is_read(records, byte):
    path, start, _ = records.place(3)
    with open(path, "r+b") as file:
        file.seek(start + byte)
        flipped = bytes([file.read(1)[0] ^ 1])
        file.seek(start + byte)
        file.write(flipped)
    assert read(records, [0, 1, 2, 4]) == [ALL[i] for i in (0, 1, 2, 4)]
    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        read(records, [3])
