import json

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data import manifest, shards
from sam_pod.data import parquet as source_lib
from tests.data import made

pyarrow = pytest.importorskip(
    "pyarrow", reason="needs pyarrow: see sam_pod/data/parquet.lock"
)
from pyarrow import parquet  # noqa: E402

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


def test_it_is_prepared_by_several_processes(tmp_path):
    source = source_lib.read(str(make(tmp_path / "source")))
    for count in (1, 2):
        shards.write_with(source, f"{tmp_path}/{count}", 3, num_processes=count)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
    manifest.verify(tmp_path / "1", manifest.read(tmp_path / "1"))


def test_classes_without_names_are_numbered(tmp_path):
    source = source_lib.read(str(make(tmp_path / "source", named=False)))
    assert source.classes == ("0", "1", "2")


def test_other_columns_can_be_named(tmp_path):
    for split in ("train", "test"):
        write(
            tmp_path / f"{split}-00000-of-00001.parquet",
            rows(0, 3),
            [0, 1, 2],
            fine_label=[2, 2, 2],
        )
    source = source_lib.read(str(tmp_path), label="fine_label")
    assert [item.label for item in made.items(source, "train")] == [2, 2, 2]


def refusal(folder, **columns):
    with pytest.raises(errors.UserError) as raised:
        source = source_lib.read(str(folder), **columns)
        for split in source.splits:
            made.items(source, split)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    "images, labels, name",
    [
        ([None, *rows(1, 3)], [0, 1, 2, 0], "image"),
        ([{"bytes": None, "path": "a.png"}, *rows(1, 3)], [0, 1, 2, 0], "image"),
        (rows(0, 4), [None, 1, 2, 0], "label"),
    ],
)
def test_a_null_is_named(tmp_path, images, labels, name):
    make(tmp_path)
    write(tmp_path / "data/test-00000-of-00002.parquet", images[::-1], labels[::-1])
    text = refusal(tmp_path)
    assert (
        f"data/test-00000-of-00002.parquet row 3 in {tmp_path} has no '{name}'" in text
    )


@pytest.mark.parametrize(
    "kind, images",
    [(pyarrow.binary(), [b"x"]), (pyarrow.struct([("bytes", pyarrow.string())]), [{}])],
)
def test_a_column_of_other_things_than_images_is_refused(tmp_path, kind, images):
    make(tmp_path)
    write(tmp_path / "data/test-00000-of-00002.parquet", images, [0], kind=kind)
    assert "it must be a struct with the encoded image in 'bytes'" in refusal(tmp_path)


@pytest.mark.parametrize("labels", [["ant"], [0.5], [[1]]])
def test_a_column_of_other_things_than_labels_is_refused(tmp_path, labels):
    make(tmp_path)
    write(tmp_path / "data/test-00000-of-00002.parquet", rows(0, 1), labels)
    assert "it must be whole numbers" in refusal(tmp_path)


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
    assert f"has no Parquet file of {split}" in refusal(tmp_path)


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
    source = source_lib.read(str(tmp_path / "source"))
    with pytest.raises(errors.UserError, match=r"row 1 in .* has label -1"):
        shards.write(source, str(tmp_path / "set"))


def test_without_pyarrow_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(errors.UserError, match=r"install --no-deps .*parquet\.lock`"):
        source_lib.read(str(tmp_path))


def test_pixels_survive(tmp_path):
    source = source_lib.read(str(make(tmp_path / "source")))
    written = shards.write(source, str(tmp_path / "set"), 1)
    pixels = np.stack([made.image(i) for i in range(17)]) / 255
    np.testing.assert_allclose(written.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
