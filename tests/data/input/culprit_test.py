"""The first bad example is named by file and byte."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input import culprit, random_access, reading
from tests.data import sets


@pytest.fixture
def reader(tmp_path):
    images = [sets.png(sets.noisy(i)) for i in range(12)]
    images[7] = b"no image"
    made = sets.write(tmp_path, images)
    view = reading.View(image_size=8, offsets=sets.all_offsets(tmp_path, made))
    return reading.Reader(str(tmp_path), made, "train", view)


def first(reader, rows):
    return culprit.first(reader.records, reader.parse, rows, split="train")


def flip(path, byte):
    with open(path, "r+b") as file:
        file.seek(byte)
        value = file.read(1)[0] ^ 1
        file.seek(byte)
        file.write(bytes([value]))


def test_an_image_that_does_not_decode_is_named(reader):
    path, start, _ = reader.records.place(7)
    text = first(reader, range(12))
    assert f"Example 7 of the train files, at byte {start} of {path}, holds no" in text
    assert "Unknown image file format" in text and "\n" not in text
    assert first(reader, [0, 1, 11]) == ""


@pytest.mark.parametrize("byte", [2, 30, -1])
def test_a_corrupt_record_is_named(reader, byte):
    path, start, end = reader.records.place(9)
    flip(path, start + byte if byte >= 0 else end + byte)
    text = first(reader, np.array([3, 9, 7]))
    assert (
        f"Example 9 of the train files, at byte {start} of {path}, is corrupt" in text
    )


def test_a_file_that_is_cut_off_or_gone_is_named(reader, tmp_path):
    path, start, _ = reader.records.place(11)
    with open(path, "r+b") as file:
        file.truncate(start)
    assert "corrupt or cut off" in first(reader, [11])
    (tmp_path / "train-2.tfrecord").unlink()
    text = first(reader, [0, 11])
    assert "cannot be read" in text and "No such file" in text and "\n" not in text


def test_a_storage_that_does_not_answer_makes_no_file_corrupt(reader, monkeypatch):
    def read(self, row):
        raise tf.errors.UnavailableError(None, None, "nobody answers")

    monkeypatch.setattr(random_access.Records, "read", read)
    text = first(reader, [0])
    assert "cannot be read (nobody answers)" in text
