"""Parquet files that cannot be read: each gets a line that names it."""

import pytest

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.stored import verify
from tests.data import made
from tests.data.sources.parquet_files import (
    IMAGE,
    make,
    pyarrow,
    refusal,
    rows,
    source_lib,
    write,
    write_splits,
)


def test_a_path_at_which_nothing_is_is_named(tmp_path):
    make(tmp_path)
    images = [*rows(1, 3), {"bytes": None, "path": "a.png"}]
    write(tmp_path / "data/test-00000-of-00002.parquet", images, [0, 1, 2, 0])
    text = refusal(tmp_path)
    assert (
        f"data/test-00000-of-00002.parquet row 3 in {tmp_path} has no 'image'" in text
    )


PIXELS = [[[1, 2], [3, 4]]] * 3


@pytest.mark.parametrize(
    ("images", "kind", "channels"),
    [
        ([None, *rows(1, 3)], IMAGE, 3),
        ([{"bytes": None, "path": None}, *rows(1, 3)], IMAGE, 3),
        ([None, *(row["bytes"] for row in rows(1, 3))], pyarrow.binary(), 3),
        ([None, *PIXELS], pyarrow.list_(pyarrow.list_(pyarrow.uint8())), 1),
    ],
)
def test_a_null_image_is_refused_with_its_row_or_left_out(
    tmp_path, images, kind, channels
):
    folder = write_splits(tmp_path / "source", [0, 1, 0, 1], images=images, kind=kind)
    source, place = source_lib.read(str(folder)), str(tmp_path / "set")
    assert source.channels == channels
    made.check_random_access(source)
    with pytest.raises(errors.UserError) as raised:
        shards.write(source, place)
    text = str(raised.value)
    assert "2 of 8 images" in text and "train-00000-of-00001.parquet row 0" in text
    assert "has no 'image', it is null" in text and "--skip_bad" in text
    report = shards.write_with(source, place, 1, shards.ShardOptions(skip_bad=True))
    assert report.manifest.num_examples("train") == 3
    assert report.skipped == tuple(f"{s}-00000-of-00001.parquet row 0"
                                   for s in ("train", "test"))  # fmt: skip
    verify.check(place, report.manifest)


def test_labels_that_are_not_there_are_counted(tmp_path):
    make(tmp_path)
    write(tmp_path / "data/test-00000-of-00002.parquet", rows(0, 4), [0, None, None, 1])
    assert "2 of 4 labels of test are null" in refusal(tmp_path)


@pytest.mark.parametrize(
    "kind, images",
    [
        (pyarrow.int64(), [1]),
        (pyarrow.list_(pyarrow.uint8()), [[1]]),
        (pyarrow.struct([("bytes", pyarrow.string())]), [{}]),
    ],
)
def test_a_column_of_other_things_than_images_is_refused(tmp_path, kind, images):
    make(tmp_path)
    write(tmp_path / "data/test-00000-of-00002.parquet", images, [0], kind=kind)
    assert "it must hold encoded images" in refusal(tmp_path)


@pytest.mark.parametrize(
    "labels, reason",
    [
        (["ant"], "labels of different kinds (text, whole)"),
        ([0.5], "1 of 1 labels of test are no whole number (such as 0.5); this trains"),
        ([[1, 2]], "shares of classes (such as 1 2)"),
        (pyarrow.array([[1, 2], [0]]), "of several classes at once (such as [1, 2])"),
        ([{"a": 1}], "neither a number nor a text"),
        ([3], "test has label 3 (1 of 1 examples); with 3 classes"),
    ],
)
def test_a_column_of_other_things_than_labels_is_refused(tmp_path, labels, reason):
    make(tmp_path)
    write(tmp_path / "data/test-00000-of-00002.parquet", rows(0, len(labels)), labels)
    assert reason in refusal(tmp_path)


@pytest.mark.parametrize("columns", [{"image": "img"}, {"label": "fine_label"}])
def test_a_missing_column_is_named(tmp_path, columns):
    text = refusal(make(tmp_path), **columns)
    assert (
        f"has no column '{next(iter(columns.values()))}'; it has image, label" in text
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_named(tmp_path, split):
    for path in make(tmp_path).rglob(f"{split}-*"):
        path.unlink()
    other = {"train": "test", "test": "train"}[split]
    text = refusal(tmp_path)
    assert f"its splits are '{other}'" in text and "--test_split" in text


def test_a_broken_file_is_named(tmp_path):
    path = make(tmp_path) / "data/test-00000-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    assert f"Cannot read {path}" in refusal(tmp_path)
    content = bytearray(path.read_bytes())
    assert f"Cannot read {path}" in refusal(tmp_path)
    del content


def test_a_label_without_a_class_is_named(tmp_path):
    make(tmp_path / "source")
    path = tmp_path / "source/data/test-00000-of-00002.parquet"
    write(path, rows(0, 2), [0, -1])
    text = refusal(tmp_path / "source")
    assert "test has label -1 (1 of 2 examples); with 3 classes it must be from" in text


def test_without_pyarrow_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(errors.UserError, match=r"install --no-deps .*parquet\.lock`"):
        source_lib.read(str(tmp_path))


def test_pixels_that_are_none_are_refused(tmp_path):
    kind = pyarrow.list_(pyarrow.list_(pyarrow.float32()))
    images = [[[0.5, 1.0]]] * 2
    folder = write_splits(tmp_path, [0, 1], images=images, kind=kind)
    assert "numbers from 0.5 to 1 in 'image'; pixels must be whole" in refusal(folder)


def test_an_address_is_no_image(tmp_path):
    images = pyarrow.array(["https://example.invalid/1.png"] * 2)
    write_splits(tmp_path, [0, 1], images=images, kind=images.type)
    assert "download the images first" in refusal(tmp_path)


@pytest.mark.parametrize("other", ["train-00001-of-00002", "test-00000-of-00001"])
def test_files_whose_numbers_mean_other_classes(tmp_path, other):
    names = ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]
    for name in names:
        classes = ("bee", "ant", "cow") if name == other else ("ant", "bee", "cow")
        write(tmp_path / f"{name}.parquet", rows(0, 3), [0, 1, 2], named=classes)
    message = refusal(tmp_path)
    assert "names its classes ant, bee, cow in " in message
    assert f"and bee, ant, cow in {tmp_path / other}" in message
    assert "`cast_column` of datasets" in message
