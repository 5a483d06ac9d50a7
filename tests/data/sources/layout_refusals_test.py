"""Layouts that cannot be read, or not in one way alone: each gets a line."""

import pytest

from sam_pod import errors
from sam_pod.data.sources import image_tree, images, split_names, table_columns
from tests.data import made
from tests.data.sources.layouts import (
    FOUR,
    both,
    classes,
    counts,
    numbered,
    table,
    with_tables,
    write,
)

REFUSALS = {
    "no splits": (
        classes("x"),
        "has no split with labels to test on; its splits are .",
    ),
    "train alone": (classes("train"), "--test_share=0.1"),
    "no train": (classes("val"), "has no split to train on; its splits are 'val'"),
    "deep": (
        classes("train/x", "train/y") + classes("test"),
        "train/x/a/ is out of place; train/x/b/ is out of place; train/y/a/",
    ),
    "splits in classes": (
        classes("cat", "dog", names=["train", "test"]),
        "cat/train/ is",
    ),
    "flat": (numbered("train", 2) + numbered("test", 2), "lie flat and say no classes"),
    "both": (
        [*classes("train", "test"), "train/x.png"],
        "1 image that lies in train its",
    ),
    "masks": (classes("train", "test", names=["images", "masks"]), "segmentation"),
    "classes called as splits": (
        numbered("dev", 2) + numbered("ops", 2),
        r"Where 'dev' and 'ops' are classes.*pass --train_split=\. --test_share=0\.1",
    ),
    "two names": (
        classes("train", "test", "testing"),
        "'test' and 'testing', and each",
    ),
    "lost rows": (
        with_tables(
            numbered("train", 5) + classes("test"), {"train.csv": table("id,y", FOUR)}
        ),
        "1 image is in no row, such as train/4.png",
    ),
    "two classes": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {"train.csv": table("id,y", [*FOUR, "1,a"])},
        ),
        "gives '1' a second class",
    ),
    "several": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {"train.csv": table("id,a,b", [f"{i},1,{i % 2}" for i in range(4)])},
        ),
        "2 rows of .*train.csv have not one class",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_layout_that_cannot_be_read_gets_a_line(tmp_path, name):
    layout, reason = REFUSALS[name]
    root = write(tmp_path / "source", layout)
    with pytest.raises(errors.UserError, match=reason) as raised:
        images.read(str(root))
    assert str(root) in str(raised.value) and "\n" not in str(raised.value)


def test_all_faults_are_named_and_the_rest_counted():
    assert image_tree.listed(list("abc")) == "a; b; c"
    assert image_tree.listed(list("abcdefg")) == "a; b; c; d; e; and 2 more"


PARTS = with_tables(
    numbered("part_1", 4) + numbered("part_2", 4, 4),
    {"metadata.csv": table("id,label", [f"{i},{'ab'[i % 2]}" for i in range(8)])},
)


def test_a_table_and_folders_that_disagree_are_refused_until_one_is_chosen(tmp_path):
    root = write(tmp_path / "source", PARTS)
    wish = split_names.Wish(test_share=0.25)
    with pytest.raises(errors.UserError, match="--labels=folders takes the folders"):
        images.read(str(root), asked=images.Asked(splits=wish))
    for labels, names in (
        (str(root / "metadata.csv"), "ab"),
        ("folders", ["part_1", "part_2"]),
    ):
        source = images.read(str(root), asked=images.Asked(splits=wish, labels=labels))
        assert counts(source) == {
            "train": dict.fromkeys(names, 3),
            "test": dict.fromkeys(names, 1),
        }


def test_a_table_that_says_what_the_folders_say_changes_nothing(tmp_path):
    layout = with_tables(
        classes("train", "test"),
        {"train.csv": table("id,label", [f"{c}/{i},x{c}" for c in "ab" for i in "01"])},
    )
    source = images.read(str(write(tmp_path / "source", layout)))
    assert source.classes == ("a", "b")
    assert source.decisions == ("1 file is no image: train.csv.",)


@pytest.mark.parametrize(
    "layout, reason",
    [
        (
            with_tables(
                numbered("images/train", 2) + numbered("images/val", 2),
                {"labels/train/0.txt": "0 0.5 0.5 1 1"},
            ),
            "such as labels/train/0.txt, looks like that of a set for detection",
        ),
        ({"fer2013.csv": "emotion,pixels\n0,1 2 3"}, "pixels in a table are read as"),
    ],
)
def test_what_is_for_something_else_is_refused_by_name(tmp_path, layout, reason):
    with pytest.raises(errors.UserError, match=reason):
        images.read(str(write(tmp_path / "source", layout)))


@pytest.mark.parametrize("first, is_clear", [(0, True), (5, False), (10, True)])
def test_labels_without_names_need_names_of_one_order(tmp_path, first, is_clear):
    layout = classes("train") + numbered("test", 10, first)
    root = write(tmp_path / "source", layout)
    (tmp_path / "t.txt").write_text("\n".join("ab"[i % 2] for i in range(10)))
    asked = images.Asked(labels=str(tmp_path / "t.txt"))
    if is_clear:
        source = images.read(str(root), asked=asked)
        names = {item.key: "ab"[item.label] for item in made.items(source, "test")}
        assert names == {f"test/{first + i}.png": "ab"[i % 2] for i in range(10)}
        return
    with pytest.raises(
        errors.UserError, match=r"test/10\.png comes before test/5\.png"
    ):
        images.read(str(root), asked=asked)


NUMBERED = with_tables(
    numbered("train", 4) + numbered("test", 4) + classes("val"),
    {"labels/x.csv": table("id,label", FOUR)},
)


def test_a_table_gives_its_classes_to_no_images_of_another_split(tmp_path):
    root = write(tmp_path / "source", NUMBERED)  # Both count from 0, as Kaggle's do.
    named = tmp_path / "trainLabels.csv"
    named.write_text(table("id,label", FOUR))
    source = images.read(str(root), asked=images.Asked(labels=str(named)))
    assert counts(source) == {"train": both(2), "test": both(2)}
    keys = [item.key for item in made.items(source, "test")]
    assert all(key.startswith("val/") for key in keys)
    other = tmp_path / "other.csv"
    other.write_text(table("id,label", FOUR))
    with pytest.raises(errors.UserError, match="may be any of"):
        images.read(str(root), asked=images.Asked(labels=str(other)))
    other.write_text(table("id,label", [f"train/{row}" for row in FOUR]))
    source = images.read(str(root), asked=images.Asked(labels=str(other)))
    assert counts(source) == {"train": both(2), "test": both(2)}


@pytest.mark.parametrize(
    "head, rows, remedy",
    [
        ("id,label", ["0,a", "1,b", "2,a", "3,b"], "zeros at the front are lost in it"),
        ("", ["0000.PNG,a", "0001.PNG,b"], "it has other capitals"),
        (
            "name,label",
            ["val/0000,a", "val/0001,b"],
            "folders it names are others",
        ),
        ("id,file,label", ["7,0000,a", "8,0001,b"], "its column 'file' does"),
        ("", ["a", "b"], "it must have their names in one column"),
    ],
)
@pytest.mark.parametrize("is_asked", [True, False])
def test_a_table_that_names_no_image_is_quoted(tmp_path, head, rows, remedy, is_asked):
    files = [f"train/{i:04}.png" for i in range(4)]
    tables = {"train.csv": table(head, rows)}
    root = write(tmp_path / "set", with_tables(files, tables))
    columns = table_columns.AskedColumns("id" if "id" in head else "image", "label")
    labels = str(root / "train.csv") if is_asked else ""
    wish = split_names.Wish(test_share=0.5)
    asked = images.Asked(labels=labels, columns=columns, splits=wish)
    with pytest.raises(errors.UserError) as raised:
        images.read(str(root), asked=asked)
    text, first = str(raised.value), rows[0].split(",")[0]
    if len(rows[0]) == 1 and not is_asked:
        assert "--labels=FILE.csv" in text  # It may be a list of all classes.
        return
    assert f"{root}/train.csv names {first!r}, " in text and remedy in text
    assert ", and none is an image such as train/0000.png: " in text
    assert ("--labels=FILE.csv" in text) != is_asked and "\n" not in text


def test_a_table_of_labelled_folders_that_names_no_image_is_quoted(tmp_path):
    tables = {"other.csv": table("file,label", ["x.png,a", "y.png,b"])}
    files = classes("train", "test")
    root = write(tmp_path / "set", with_tables(files, tables))
    asked = images.Asked(labels=str(root / "other.csv"))
    with pytest.raises(errors.UserError, match=r"names 'x.png', 'y.png', and none is"):
        images.read(str(root), asked=asked)


@pytest.mark.parametrize("line", ["[1, 2]", '{"file_name": "1.png"', "1.png,b"])
def test_a_line_that_is_no_json_object_is_named(tmp_path, line):
    lines = '{"file_name": "0.png", "label": "a"}\n' + line
    layout = with_tables(numbered("pictures", 2), {"labels.jsonl": lines})
    root = write(tmp_path / "source", layout)
    with pytest.raises(errors.UserError, match=r"Line 2 of .*jsonl is no JSON object"):
        images.read(str(root))
