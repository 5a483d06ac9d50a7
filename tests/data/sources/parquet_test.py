"""Sets of Parquet files: which columns, rows and splits they are."""

import json

import numpy as np
import pytest

from sam_pod.data.prepare import shards
from sam_pod.data.sources import split_names
from sam_pod.data.stored import manifest, verify
from tests.data import made
from tests.data.sources.parquet_files import (
    CLASSES,
    FEATURES,
    IMAGE,
    TEXTS,
    encoded,
    make,
    parquet,
    pyarrow,
    refusal,
    rows,
    source_lib,
    write,
    write_splits,
)


@pytest.mark.parametrize(
    "pattern", ["data/{}-{:05d}-of-00002.parquet", "{}/{:04d}.parquet"]
)
def test_rows_come_in_the_order_of_the_files(tmp_path, pattern):
    source = source_lib.read(str(make(tmp_path / "source", pattern)))
    assert source.classes == CLASSES
    # Of the test's files there is one.
    said = "Of the 2 files data/test-…-of-00002 only 1 are there" in str(
        source.decisions
    )
    assert said == ("of-00002" in pattern)
    for split, first, count in (("train", 0, 17), ("test", 50, 5)):
        found = made.items(source, split)
        expected = [row["bytes"] for row in rows(first, count)]
        assert [item.image for item in found] == expected
        assert [item.label for item in found] == [(first + i) % 3 for i in range(count)]
    assert made.items(source, "train")[12].key == (
        pattern.format("train", 1) + " row 2"
    )
    made.check_random_access(source)
    for part in source.splits.values():
        for start in range(part.num_examples):
            (item,) = part.read(start, start + 1)
            assert (
                item
                == made.items(source, "train" if part.num_examples > 5 else "test")[
                    start
                ]
            )


@pytest.mark.slow
def test_it_is_prepared_by_several_processes(tmp_path):
    source = source_lib.read(str(make(tmp_path / "source")))
    for count in (1, 2):
        shards.write_with(source, f"{tmp_path}/{count}", 3, num_processes=count)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
    verify.check(tmp_path / "1", manifest.read(tmp_path / "1"))


def test_classes_without_names_are_numbered(tmp_path):
    source = source_lib.read(str(make(tmp_path / "source", named=())))
    assert source.classes == ("0", "1", "2")


def test_other_columns_can_be_named(tmp_path):
    for split in ("train", "test"):
        write(
            tmp_path / f"{split}-00000-of-00001.parquet",
            rows(0, 3),
            [0, 1, 2],
            fine_label=[2, 0, 1],
        )
    source = source_lib.read(str(tmp_path), label="fine_label")
    assert [item.label for item in made.items(source, "train")] == [2, 0, 1]


def test_validation_serves_where_there_is_no_test(tmp_path):
    folder = make(tmp_path) / "data"
    path = folder / "test-00000-of-00002.parquet"
    path.rename(folder / "validation-00000-of-00001.parquet")
    assert source_lib.read(str(tmp_path)).splits["test"].num_examples == 5


def test_pixels_survive(tmp_path):
    source = source_lib.read(str(make(tmp_path / "source")))
    written = shards.write(source, str(tmp_path / "set"), 1)
    pixels = np.stack([made.image(i) for i in range(17)]) / 255
    np.testing.assert_allclose(written.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize(
    "labels, names, classes",
    [
        (pyarrow.array(TEXTS), "cat cow dog", [2, 0, 1, 0]),
        (pyarrow.array(TEXTS, pyarrow.large_string()), "cat cow dog", [2, 0, 1, 0]),
        (pyarrow.array(TEXTS).cast(pyarrow.binary()), "cat cow dog", [2, 0, 1, 0]),
        (pyarrow.array(TEXTS).dictionary_encode(), "cat cow dog", [2, 0, 1, 0]),
        (pyarrow.array([3, 1, 2, 1]).dictionary_encode(), "1 2 3", [2, 0, 1, 0]),
        (pyarrow.array([True, False, False, True]), "False True", [1, 0, 0, 1]),
        (pyarrow.array([2.0, 0.0, 1.0, 0.0]), "0 1 2", [2, 0, 1, 0]),
        (pyarrow.array([2, 0, 1, 0], pyarrow.uint8()), "0 1 2", [2, 0, 1, 0]),
        (pyarrow.array([7, 7, 2_000_000_000, 7]), "7 2000000000", [0, 0, 1, 0]),
        (pyarrow.array([2**64 - 1, 5, 5, 5], pyarrow.uint64()), f"5 {2**64 - 1}",
         [1, 0, 0, 0]),
        (pyarrow.array([[2], [0], [1], [0]]), "0 1 2", [2, 0, 1, 0]),
        (pyarrow.array([["b"], ["a"], ["b"], ["a"]]), "a b", [1, 0, 1, 0]),
        (pyarrow.array([[0, 1], [1, 0], [0, 1], [0, 1]]), "0 1", [1, 0, 1, 1]),
        (pyarrow.array([[0.0, 1.0], [1.0, 0.0]] * 2,
                       pyarrow.list_(pyarrow.float32(), 2)), "0 1", [1, 0, 1, 0]),
        (pyarrow.array([1, 0, 1, 0]).cast(pyarrow.decimal128(19, 0)), "0 1",
         [1, 0, 1, 0]),
    ],
    ids=str,
)  # fmt: skip
def test_labels_of_every_type_are_classes(tmp_path, labels, names, classes):
    source = source_lib.read(str(write_splits(tmp_path, labels)))
    assert source.classes == tuple(names.split())
    assert [item.label for item in made.items(source, "train")] == classes
    made.check_random_access(source)


@pytest.mark.parametrize(
    "kind, images",
    [
        (pyarrow.binary(), encoded()),
        (pyarrow.large_binary(), encoded()),
        (pyarrow.struct([("bytes", pyarrow.large_binary())]),
         [{"bytes": content} for content in encoded()]),
        (pyarrow.struct([("path", pyarrow.string()), ("bytes", pyarrow.binary())]),
         [{"bytes": content, "path": None} for content in encoded()]),
        (pyarrow.binary(len(encoded()[0])), [encoded()[0]] * 4),
    ],
    ids=str,
)  # fmt: skip
def test_encoded_images_are_read_from_every_type(tmp_path, kind, images):
    folder = write_splits(tmp_path, [0, 1, 0, 1], images=images, kind=kind)
    source = source_lib.read(str(folder))
    expected = [x["bytes"] if isinstance(x, dict) else x for x in images]
    assert [item.image for item in made.items(source, "test")] == expected
    assert source.splits["train"].num_bytes > 0


@pytest.mark.parametrize(
    "shape", [(6, 4), (6, 4, 1), (6, 4, 3), (3, 6, 4), (1, 6, 4)], ids=str
)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_lists_of_pixels_are_images(tmp_path, shape, dtype):
    arrays = [made.image(i, shape).astype(dtype) for i in range(4)]
    kind = pyarrow.from_numpy_dtype(np.dtype(dtype))
    for _ in shape:
        kind = pyarrow.list_(kind)
    images = [array.tolist() for array in arrays]
    folder = write_splits(tmp_path, [0, 1, 0, 1], images=images, kind=kind)
    source = source_lib.read(str(folder))
    assert source.channels == (3 if 3 in shape else 1)
    for item, array in zip(made.items(source, "train"), arrays, strict=True):
        if array.ndim == 2:
            array = array[..., None]
        if array.shape[0] in (1, 3):
            array = array.transpose(1, 2, 0)
        np.testing.assert_array_equal(item.image, array)
        assert item.image.dtype == np.uint8


@pytest.mark.parametrize("kind", ["text", "struct", "dictionary"])
@pytest.mark.parametrize("place", ["data", ".", "absolute"])
def test_images_that_lie_elsewhere_are_read_by_their_paths(tmp_path, kind, place):
    folder = tmp_path / "source"
    root = tmp_path / "away" if place == "absolute" else folder / place
    (root / "pictures").mkdir(parents=True)
    for index, content in enumerate(encoded()):
        (root / "pictures" / f"{index}.png").write_bytes(content)
    start = f"{root}/" if place == "absolute" else ""
    paths = [f"{start}pictures/{i}.png" for i in range(4)]
    column = {
        "text": pyarrow.array(paths),
        "dictionary": pyarrow.array(paths).dictionary_encode(),
        "struct": pyarrow.array(
            [{"bytes": None, "path": path} for path in paths], IMAGE
        ),
    }[kind]
    write_splits(folder / "data", [0, 1, 0, 1], images=column, kind=column.type)
    source = source_lib.read(str(folder))
    assert [item.image for item in made.items(source, "train")] == encoded()
    assert source.splits["train"].num_bytes == sum(map(len, encoded()))
    (root / "pictures" / "1.png").unlink()
    (root / "pictures" / "3.png").unlink()
    text = refusal(folder)
    assert "2 of 4 images" in text and "row 1 " in text and "pictures/1.png" in text


@pytest.mark.parametrize(
    "columns, metadata, image, label",
    [
        ({"img": encoded(), "kind": TEXTS}, None, "img", "kind"),
        ({"img": encoded(), "a": TEXTS, "b": TEXTS}, None, "img", None),
        ({"x": encoded(), "y": encoded(), "label": TEXTS}, None, None, "label"),
        ({"img": encoded(), "y": encoded(), "label": TEXTS}, FEATURES, "img", "label"),
        ({"image": encoded(), "score": [0.5] * 4}, None, "image", None),
        ({"file": ["a.png"] * 4, "n": [0, 1, 0, 1]}, None, "file", "n"),
    ],
)
def test_columns_of_other_names_are_found_where_they_are_certain(
    tmp_path, columns, metadata, image, label
):
    for split in ("train", "test"):
        table = pyarrow.table(columns)
        if metadata:
            text = json.dumps(metadata)
            table = table.replace_schema_metadata({"huggingface": text})
        parquet.write_table(table, tmp_path / f"{split}.parquet")
    (tmp_path / "a.png").write_bytes(encoded()[0])
    if image is None or label is None:
        assert "Pass --image_column and --label_column" in refusal(tmp_path)
        return
    source = source_lib.read(str(tmp_path))
    said = " ".join(source.decisions)
    assert (f"Column '{image}' is taken for the images" in said) == (image != "image")
    assert (f"Column '{label}' is taken for the labels" in said) == (label != "label")
    assert len(made.items(source, "train")) == 4


@pytest.mark.parametrize("labels", [[-1] * 4, pyarrow.nulls(4, pyarrow.int64()), None])
def test_a_test_split_without_labels_leaves_the_validation_as_test(tmp_path, labels):
    write_splits(tmp_path, [0, 1, 0, 1], ("train", "validation"))
    path = tmp_path / "test-00000-of-00001.parquet"
    if labels is None:
        parquet.write_table(pyarrow.table({"image": rows(0, 4)}), path)
    else:
        write(path, rows(0, 4), labels, named=())
    source = source_lib.read(str(tmp_path))
    assert {item.label for item in made.items(source, "test")} == {0, 1}
    said = " ".join(source.decisions)
    assert "'validation' is the test split" in said and "'test' is left out" in said


def test_files_of_a_split_in_several_folders_are_said(tmp_path):
    for folder in ("full", "mini"):
        write_splits(tmp_path / folder, [0, 1])
    source = source_lib.read(str(tmp_path))
    assert source.splits["train"].num_examples == 4
    assert "'train' lie in 2 folders (full, mini)" in " ".join(source.decisions)


def test_a_column_of_splits_is_said_not_to_be_read(tmp_path):
    write(tmp_path / "all.parquet", rows(0, 8), [0, 1] * 4, is_test=[0, 1] * 4)
    wish = split_names.Wish(test_share=0.5)
    said = source_lib.read(str(tmp_path), wish=wish).decisions
    (line,) = [each for each in said if "'is_test'" in each]
    assert "is not read" in line and "test.parquet" in line
