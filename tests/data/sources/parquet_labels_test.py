"""Which column of a Parquet file is taken for the labels, where none is called so."""

import numpy as np
import pytest

from tests.data.sources.parquet_files import (
    TEXTS,
    encoded,
    parquet,
    pyarrow,
    refusal,
    source_lib,
)

from sam_pod.data.sources import parquet_labels  # isort: skip

HOT = [[0, 1], [1, 0]] * 2
WHOLE = [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "columns, expected",
    [
        # Usual names come first, whatever they hold.
        ({"target": WHOLE, "camera": TEXTS}, "target"),
        ({"target": HOT, "camera": TEXTS}, "target"),
        ({"y": WHOLE, "id": TEXTS}, "y"),
        ({"target": [0, 1, 0, 1], "camera": TEXTS}, "target"),
        ({"class": TEXTS, "target": WHOLE}, ("class", "target")),
        ({"x": [3, 4, 5, 6], "y": [3, 4, 5, 6], "kind": TEXTS}, ("x", "y", "kind")),
        # All that may be labels counts.
        ({"grade": WHOLE, "camera": TEXTS}, ("grade", "camera")),
        ({"grade": [0.0, float("nan"), 1.0, 0.0], "n": [1] * 4}, ("grade", "n")),
        ({"grade": [0.0, None, 1.0, 0.0], "n": [1] * 4}, ("grade", "n")),
        ({"grade": HOT, "camera": TEXTS}, ("grade", "camera")),
        ({"grade": [[1], [0]] * 2, "n": [1] * 4}, ("grade", "n")),
        ({"grade": pyarrow.array([3, 4, 3, 4]).cast(pyarrow.decimal128(19, 0)),
          "n": [1] * 4}, ("grade", "n")),
        ({"grade": [b"a", b"b"] * 2, "n": [1] * 4}, ("grade", "n")),
        ({"grade": WHOLE}, "grade"),
        ({"grade": HOT}, "grade"),
        # What can be no label does not.
        ({"score": [0.5, 1.0, 0.0, 1.0], "kind": TEXTS}, "kind"),
        ({"box": [[1, 2, 3, 4]] * 4, "kind": TEXTS}, "kind"),
        ({"box": [[[0, 1]]] * 4, "kind": TEXTS}, "kind"),
        ({"hash": [b"\xff\x00", b"\x01a"] * 2, "kind": TEXTS}, "kind"),
        ({"mask": encoded(), "kind": TEXTS}, "kind"),
        ({"nothing": pyarrow.nulls(4, pyarrow.float64()), "kind": TEXTS}, "kind"),
        ({"target": encoded(), "kind": TEXTS}, "kind"),
    ],
    ids=lambda x: x if isinstance(x, str) else " ".join(x),
)  # fmt: skip
def test_no_column_is_taken_for_labels_where_another_may_be_them(
    tmp_path, columns, expected
):
    for split in ("train", "test"):
        table = pyarrow.table({"image": encoded(), **columns})
        parquet.write_table(table, tmp_path / f"{split}.parquet")
    if isinstance(expected, str):
        source = source_lib.read(str(tmp_path))
        assert source.decisions[0] == f"Column {expected!r} is taken for the labels."
        return
    names = " and ".join(expected)
    assert f"; {names} may be it. Pass --image_column and" in refusal(tmp_path)


def test_the_first_rows_say_what_a_column_may_be(tmp_path):
    path = tmp_path / "a.parquet"
    rest = [1.0] * 255 + [0.5] * 20_000
    table = pyarrow.table({"late": [1.0, *rest], "soon": [0.5, *rest]})
    parquet.write_table(table, path)
    assert parquet_labels.hold_labels(str(path), ["late", "soon"]) == ["late"]
    parquet.write_table(pyarrow.table({"late": pyarrow.array([], "float64")}), path)
    assert parquet_labels.hold_labels(str(path), ["late"]) == []


def test_of_large_rows_few_are_looked_at(tmp_path, monkeypatch):
    rows = np.random.default_rng(0).random((20, 1 << 17))  # 1 MiB each.
    table = pyarrow.table({"a": list(rows), "b": [1.0] * 20})
    parquet.write_table(table, tmp_path / "a.parquet")
    shapes = []

    def values(column):
        shapes.append(len(column))
        return np.ones(len(column))

    monkeypatch.setattr(parquet_labels, "values", values)
    parquet_labels.hold_labels(str(tmp_path / "a.parquet"), ["a", "b"])
    assert shapes == [3, 20]
