"""Which column of a table names images, and which image a value means."""

import collections

import pytest

from sam_pod import errors
from sam_pod.data.sources import (
    image_names,
    images,
    label_table,
    split_names,
    table_columns,
)
from tests.data import made
from tests.data.sources import layouts


def numbered(*rows):
    """Return the classes that a table gives to 0.png to 3.png."""
    paths = {number: f"{number}.png" for number in range(4)}
    found = label_table.Table("t.csv", "\n".join(rows).encode()).look(
        paths, table_columns.AskedColumns()
    )
    return "".join(found.labels[number] for number in range(4))


TURNED = [f"{3 - i}.png" for i in range(4)]
TABLES = {
    "a column that counts": [",file,label"]
    + [f"{i},{TURNED[i]},{'aabb'[i]}" for i in range(4)],
    "an index of pandas": ["Unnamed: 0,code,label"]
    + [f"{i},{3 - i},{'aabb'[i]}" for i in range(4)],
    "labels that are names, too": ["label,image"]
    + [f"{'1100'[i]},{i}" for i in range(4)],
    "four labels": ["class,id"] + [f"{3 - i},{i}" for i in range(4)],
}
EXPECTED = {"labels that are names, too": "1100", "four labels": "3210"}


@pytest.mark.parametrize("name", TABLES)
def test_the_column_that_names_images_is_no_other_column_of_numbers(name):
    assert numbered(*TABLES[name]) == EXPECTED.get(name, "bbaa")


@pytest.mark.parametrize("header", [[], ["x,z"], ["x,z,w"]])
def test_two_columns_that_name_different_images_are_refused(header):
    more = ",a" if header == ["x,z,w"] else ""
    with pytest.raises(errors.UserError, match=r"Columns 1 and 2 of t\.csv both may"):
        numbered(*header, *[f"{i},{3 - i}{more}" for i in range(4)])


def test_a_column_of_images_that_is_asked_for_must_be_there():
    table = label_table.Table("t.csv", b"x,label\n0,a\n1,b")
    with pytest.raises(errors.UserError, match="no column 'z', which --image_column"):
        table.look({0: "0.png", 1: "1.png"}, table_columns.AskedColumns(image="z"))


def test_a_name_in_one_split_is_no_image_of_another():
    names = image_names.Names({0: "train/0.png", 1: "val/1.png", 2: "val/2.png"})
    assert names.find("train/0.png") == names.find("data/Training/0") == [0]
    assert names.find("1.png") == names.find("x/1") == names.find("valid/1.png") == [1]
    assert names.find("train/1.png") == []


def test_folders_of_a_table_may_lie_around_those_of_the_images():
    names = image_names.Names({0: "a/0.png", 1: "b/0.png", 2: "b/10.png"})
    for value in ("b/0.png", "set/b/0.png", "C:\\set\\b\\0", "./b/0"):
        assert names.find(value) == [1]
    assert names.find("c/0.png") == [] and names.find("0.png") == [0, 1]
    names = image_names.Names({0: "0.png", 1: "a/0.png", 2: "b/a/0.jpg"})
    for value, found in {"a/0.png": [1], "x/a/0.png": [1], "b/a/0.jpg": [2]}.items():
        assert names.find(value) == found


BOTH = {"a": 1, "b": 1}


def read(root, rows, **wish):
    layout = layouts.numbered("pictures", 4)
    tables = {"labels.csv": layouts.table("file,y", rows)}
    layouts.write(root, layouts.with_tables(layout, tables))
    wish = split_names.Wish(**wish)
    return images.read(str(root), asked=images.Asked(splits=wish))


def test_minus_one_is_a_class_in_a_line_and_no_number_is_none(tmp_path):
    rows = [f"{i},{[-1, 0][i % 2]}" for i in range(4)]
    source = read(tmp_path / "one", rows, test_share=0.5)
    assert source.classes == ("-1", "0")
    assert any("-1 is a class, too, of 2 images" in line for line in source.decisions)
    for number, label in enumerate(("nan", "NULL", "")):
        root = tmp_path / str(number)
        with pytest.raises(errors.UserError, match=r"row 5 of .* has no class"):
            read(root, ["0,a", "1,b", "2,a", f"3,{label}"], test_share=0.5)


@pytest.mark.parametrize("none", ["NA", "N/A", "None", "nil", "?", "-"])
def test_what_some_write_for_no_label_is_none_among_numbers_and_else_a_line(
    none, tmp_path
):
    with pytest.raises(errors.UserError, match=r"row 5 of .* has no class, but '.+'"):
        read(tmp_path / "one", ["0,1", "1,2", "2,1", f"3,{none}"], test_share=0.5)
    rows = ["0,cat", f"1,{none}", "2,cat", f"3,{none}"]
    source = read(tmp_path / "two", rows, test_share=0.5)
    assert none in source.classes
    said = f"{none} is a class, too, of 2 images: where it means that there is no"
    assert any(said in line for line in source.decisions)


def test_a_test_of_minus_ones_has_no_labels(tmp_path):
    layout = layouts.numbered("train", 4) + layouts.numbered("test", 4, 4)
    rows = [f"{i},{i % 2 if i < 4 else -1}" for i in range(8)]
    tables = {"labels.csv": layouts.table("file,y", rows)}
    root = tmp_path / "source"
    layouts.write(root, layouts.with_tables(layout, tables))
    asked = images.Asked(splits=split_names.Wish(test_share=0.5))
    source = images.read(str(root), asked=asked)
    sizes = {split: part.num_examples for split, part in source.splits.items()}
    assert (source.classes, sizes) == (("0", "1"), {"train": 2, "test": 2})
    assert "'test' is left out: it has no labels." in source.decisions


def test_a_column_of_splits_is_used_or_a_line_says_that_it_is_not(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{{}}" for i in range(4)]

    def source(name, parts, **wish):
        filled = [row.format(part) for row, part in zip(rows, parts, strict=True)]
        head = "file,y,split"
        table = {"labels.csv": layouts.table(head, filled)}
        layout = layouts.with_tables(layouts.numbered("pictures", 4), table)
        root = layouts.write(tmp_path / name, layout)
        asked = images.Asked(splits=split_names.Wish(**wish))
        return images.read(str(root), asked=asked)

    used = source("used", ["train", "train", "test", "fold9"])
    assert collections.Counter(i.label for i in made.items(used, "test")) == {0: 1}
    assert used.splits["train"].num_examples == 2
    assert "'fold9' is left out." in used.decisions
    assert not any("beside the folders" in line for line in used.decisions)
    asked = source("asked", "AABB", train="B", test="A")
    assert [i.key for i in made.items(asked, "test")] == ["0.png", "1.png"]
    other = source("other", "AABB", test_share=0.5)
    assert any("such as 'A', are none of train" in line for line in other.decisions)


def test_a_table_that_is_asked_for_says_splits_of_class_folders(tmp_path):
    paths = layouts.classes("pictures", count=3)  # Equal names in each class.
    rows = [f"{p},{p[9]},{'test' if '/2.' in p else 'train'}" for p in paths]
    tables = {"labels.csv": layouts.table("path,label,split", rows)}
    layout = layouts.with_tables(paths, tables)
    root = layouts.write(tmp_path / "source", layout)
    asked = images.Asked(labels=str(root / "labels.csv"))
    source = images.read(str(root), asked=asked)
    assert layouts.counts(source) == {"train": {"a": 2, "b": 2}, "test": BOTH}
    asked = images.Asked(splits=split_names.Wish(test_share=0.3))
    source = images.read(str(root), asked=asked)
    assert any("says splits, too, which --labels=" in s for s in source.decisions)
