"""Parquet files as people have them, written for tests."""

import json

import pytest

from sam_pod import errors
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


def write(path, images, labels, *, named=CLASSES, kind=IMAGE, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(
        {
            "image": pyarrow.array(images, kind),
            "label": labels,
            **{name: pyarrow.array(values) for name, values in columns.items()},
        }
    )
    if named:
        feature = {"names": list(named), "_type": "ClassLabel"}
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


def refusal(folder, **columns):
    with pytest.raises(errors.UserError) as raised:
        source = source_lib.read(str(folder), **columns)
        for split in source.splits:
            made.items(source, split)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    return str(raised.value)


TEXTS = ["dog", "cat", "cow", "cat"]
FEATURES = {"info": {"features": {"img": {"_type": "Image"}, "a": {}, "b": {}}}}


def write_splits(folder, labels, names=("train", "test"), images=None, **options):
    images = rows(0, len(labels)) if images is None else images
    for name in names:
        path = folder / f"{name}-00000-of-00001.parquet"
        write(path, images, labels, named=(), **options)
    return folder


def encoded(count=4):
    return [made.png(made.image(i)) for i in range(count)]
