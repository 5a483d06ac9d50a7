"""Which numbered files are not there."""

import pytest

from sam_pod.data.sources import numbered_files


@pytest.mark.parametrize(
    "names",
    [
        ["a.parquet", "b.parquet"],
        ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"],
        ["train-1-of-2.tfrecord", "train-2-of-2.tfrecord"],
        ["x_0_of_2-a9.parquet", "x_1_of_2-f3.parquet"],
        ["one/train-0-of-1", "other/train-0-of-1"],
    ],
)
def test_of_a_whole_set_nothing_is_said(names):
    assert numbered_files.missing("d", (f"d/{n}" for n in names)) == ()


@pytest.mark.parametrize(
    ("names", "there", "first"),
    [
        (["d/train-00000-of-00003", "d/train-00002-of-00003"], "2", "number 1:"),
        (["train-2-of-3", "train-3-of-3"], "2", "number 1:"),
        (["train-0-of-3-ab.parquet", "test-0-of-1.parquet"], "1", "number 1:"),
    ],
)
def test_what_is_missing_is_said_once_for_each_set(names, there, first):
    (line,) = numbered_files.missing("d", (f"d/{n}" for n in names))
    assert f"-of-00003 only {there} are there" in line
    assert first in line
