import json

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.stored import manifest, verify
from tests.data import made

pyarrow = pytest.importorskip(
    "pyarrow", reason="needs pyarrow: see sam_pod/data/sources/parquet.lock"
)
from pyarrow import parquet  # noqa: E402

from sam_pod.data.sources import parquet as source_lib  # noqa: E402

CLASSES = ("ant", "bee", "cow")
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def rows(first, count):
    return [
        {"bytes": made.png(made.image(i)), "path": f"{i}.png"}
        for i in range(first, first + count)
    ]


def write(path, images, labels, *, named=True, kind=IMAGE, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(
        {
            "image": pyarrow.array(images, kind),
            "label": labels,
            **{name: pyarrow.array(values) for name, values in columns.items()},
        }
    )
    if named:
        feature = {"names": list(CLASSES), "_type": "ClassLabel"}
        info = {"info": {"features": {"image": {"_type": "Image"}, "label": feature}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    parquet.write_table(table, path, row_group_size=4)


def make(folder, pattern="data/{}-{:05d}-of-00002.parquet", **options):
    """Write 2 files of 10 and 7 training rows, and one of 5 to test."""
    for index, (split, first, count) in enumerate(
        [("train", 0, 10), ("train", 10, 7), ("test", 50, 5)]
    ):
        labels = [(first + i) % 3 for i in range(count)]
        path = folder / pattern.format(split, index % 2)
        write(path, rows(first, count), labels, **options)
    return folder


@pytest.mark.parametrize(
    "pattern", ["data/{}-{:05d}-of-00002.parquet", "{}/{:04d}.parquet"]
)
def test_rows_come_in_the_order_of_the_files(tmp_path, pattern):
    source = source_lib.read(str(make(tmp_path / "source", pattern)))
    assert source.classes == CLASSES
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
    source = source_lib.read(str(make(tmp_path / "source", named=False)))
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


def refusal(folder, **columns):
    with pytest.raises(errors.UserError) as raised:
        source = source_lib.read(str(folder), **columns)
        for split in source.splits:
            made.items(source, split)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    return str(raised.value)


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


def test_validation_serves_where_there_is_no_test(tmp_path):
    folder = make(tmp_path) / "data"
    path = folder / "test-00000-of-00002.parquet"
    path.rename(folder / "validation-00000-of-00001.parquet")
    assert source_lib.read(str(tmp_path)).splits["test"].num_examples == 5


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


def test_pixels_survive(tmp_path):
    source = source_lib.read(str(make(tmp_path / "source")))
    written = shards.write(source, str(tmp_path / "set"), 1)
    pixels = np.stack([made.image(i) for i in range(17)]) / 255
    np.testing.assert_allclose(written.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)


TEXTS = ["dog", "cat", "cow", "cat"]
FEATURES = {"info": {"features": {"img": {"_type": "Image"}, "a": {}, "b": {}}}}


def write_splits(folder, labels, names=("train", "test"), images=None, **options):
    images = rows(0, len(labels)) if images is None else images
    for name in names:
        path = folder / f"{name}-00000-of-00001.parquet"
        write(path, images, labels, named=False, **options)
    return folder


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


def encoded(count=4):
    return [made.png(made.image(i)) for i in range(count)]


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


def test_pixels_that_are_none_are_refused(tmp_path):
    kind = pyarrow.list_(pyarrow.list_(pyarrow.float32()))
    images = [[[0.5, 1.0]]] * 2
    folder = write_splits(tmp_path, [0, 1], images=images, kind=kind)
    assert "numbers from 0.5 to 1 in 'image'; pixels must be whole" in refusal(folder)


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


def test_an_address_is_no_image(tmp_path):
    images = pyarrow.array(["https://example.invalid/1.png"] * 2)
    write_splits(tmp_path, [0, 1], images=images, kind=images.type)
    assert "download the images first" in refusal(tmp_path)


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
        write(path, rows(0, 4), labels, named=False)
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
