"""Folders of images as people have them: which split and class each image is of."""

import pytest

from sam_pod import errors
from sam_pod.data.sources import images, split_names, table_columns
from tests.data import made
from tests.data.sources import trees
from tests.data.sources.layouts import (
    FOUR,
    LAYOUTS,
    SPLITS,
    both,
    classes,
    counts,
    numbered,
    table,
    with_tables,
    write,
)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_layout_is_read_as_it_is_meant(tmp_path, name, kind):
    layout, expected = LAYOUTS[name]
    root = write(tmp_path / "source", layout)
    path = root
    if kind == "tar":
        path = trees.pack(tmp_path / "a.tar", root, folders=True)
    source = images.read(str(path))
    assert counts(source) == expected
    kept = sum(sum(of.values()) for of in expected.values())
    tables = (".csv", ".txt", ".xml", ".jsonl")
    if kept < sum(1 for p in layout if not p.endswith(tables)):
        assert any("left out" in line for line in source.decisions)
    made.check_random_access(source)


# What lies there, what is asked for, the examples then.
ASKED = {
    "a share of classes": (
        classes("x", count=10),
        {"test_share": 0.2},
        {"train": both(8), "test": both(2)},
    ),
    "a share of train": (
        classes("train", "val", count=4),
        {"test_share": 0.25},
        {"train": both(3), "test": both(1), "validation": both(4)},
    ),
    "chosen": (
        classes("a1", "b1", "c1"),
        {"train": "b1", "test": "c1"},
        {"train": both(2), "test": both(2)},
    ),
    "classes called as splits": (
        [*numbered("train", 4), *numbered("car", 4)],
        {"train": ".", "test_share": 0.5},
        {"train": {"car": 2, "train": 2}, "test": {"car": 2, "train": 2}},
    ),
    "flat with a table": (
        with_tables(numbered("images", 4), {"labels.csv": table("", FOUR)}),
        {"test_share": 0.5},
        {"train": both(1), "test": both(1)},
    ),
}


def test_a_split_without_labels_in_a_table_needs_a_test_or_a_share(tmp_path):
    rows = [f"{i},{'ab'[i % 2] if i < 4 else ''},{SPLITS[i]}" for i in range(6)]
    tables = {"labels.csv": table("file,class,split", rows)}
    root = write(tmp_path / "source", with_tables(numbered("pictures", 6), tables))
    with pytest.raises(errors.UserError, match="no split with labels to test on"):
        images.read(str(root))
    asked = images.Asked(splits=split_names.Wish(test_share=0.5))
    source = images.read(str(root), asked=asked)
    assert counts(source) == {"train": both(1), "test": both(1)}
    assert "'TEST' is left out: it has no labels." in source.decisions
    rows[0] = "0,,train"  # In a split with labels each must have one.
    (root / "labels.csv").write_text(table("file,class,split", rows))
    with pytest.raises(errors.UserError, match=r"row 2 of .*labels\.csv has no class"):
        images.read(str(root), asked=asked)


# The header behind file and class, and what it says of six images.
MARKED = {
    "is_valid,is_test": ["0,0", "0,0", "1,0", "1,0", "0,1", "0,1"],
    "is_test": ["False"] * 4 + ["True"] * 2,
    "istrain": ["1.0"] * 4 + ["0.0"] * 2,
}


@pytest.mark.parametrize("head", MARKED)
def test_columns_that_mark_a_split(tmp_path, head):
    rows = [f"{i},{'ab'[i % 2]},{value}" for i, value in enumerate(MARKED[head])]
    tables = {"labels.csv": table(f"file,class,{head}", rows)}
    root = write(tmp_path / "source", with_tables(numbered("pictures", 6), tables))
    source = images.read(str(root))
    expected = {"train": both(2), "test": both(1)}
    if "," in head:
        expected = {split: both(1) for split in ("train", "validation", "test")}
    assert counts(source) == expected
    assert any("splits are in 'is" in line.lower() for line in source.decisions)


def test_a_column_is_valid_alone_asks_for_a_test(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{i > 3}" for i in range(6)]  # As fastai reads it.
    tables = {"labels.csv": table("file,class,is_valid", rows)}
    root = write(tmp_path / "source", with_tables(numbered("pictures", 6), tables))
    asked = images.Asked(splits=split_names.Wish(test_share=0.5))
    source = images.read(str(root), asked=asked)
    assert counts(source) == {"train": both(1), "validation": both(1), "test": both(1)}


# Columns behind file and class, their values for six images, and what is said of it.
UNREAD = {
    "dataset,split": ([*["isic,train"] * 3, *["kaggle,test"] * 3], "in 'split' of"),
    "split,is_valid": (
        ["train,0"] * 3 + ["test,0"] * 3,
        "'is_valid' is not read for splits",
    ),
    "split,phase": (["train,test", "test,train"] * 3, "each may say the split"),
    "is_valid": (["True", "3.5"] * 3, "not read for splits: '3.5' is neither"),
}


@pytest.mark.parametrize("head", UNREAD)
def test_columns_of_splits_that_are_not_read_are_named(tmp_path, head):
    values, said = UNREAD[head]
    rows = [f"{i},{'ab'[i % 2]},{value}" for i, value in enumerate(values)]
    tables = {"labels.csv": table(f"file,class,{head}", rows)}
    root = write(tmp_path / "source", with_tables(numbered("pictures", 6), tables))
    wish = split_names.Wish(test_share=0.5)
    if said.startswith(("in", "'is_valid' is")):
        wish = split_names.Wish()
    source = images.read(str(root), asked=images.Asked(splits=wish))
    assert said in " ".join(source.decisions)


def test_an_image_in_two_splits_of_a_table_is_a_fault(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{'train' if i < 4 else 'test'}" for i in range(6)]
    tables = {"labels.csv": table("file,class,split", [*rows, "0,a,test"])}
    root = write(tmp_path / "source", with_tables(numbered("pictures", 6), tables))
    with pytest.raises(errors.UserError, match=r"puts '0' into a second split"):
        images.read(str(root))


def test_splits_of_a_table_that_folders_overrule_are_told(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{i > 3}" for i in range(6)]
    tables = {"labels.csv": table("file,class,is_valid", rows)}
    layout = [*numbered("train", 6), *classes("test")]
    root = write(tmp_path / "source", with_tables(layout, tables))
    source = images.read(str(root))
    assert counts(source)["train"] == both(3)
    (line,) = [x for x in source.decisions if "those of the folders count" in x]
    assert "says splits in 'is_valid' as well ('train', 'validation'" in line


def test_a_refusal_says_that_a_table_has_splits_and_how_it_counts(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{'train' if i < 4 else 'test'}" for i in range(6)]
    tables = {"train.csv": table("file,class,split", rows)}
    root = write(tmp_path / "source", with_tables(numbered("train", 6), tables))
    with pytest.raises(errors.UserError, match=r"says splits in 'split' as well.*name"):
        images.read(str(root))
    (root / "train").rename(root / "pictures")
    assert counts(images.read(str(root))) == {"train": both(2), "test": both(1)}


def test_what_is_in_no_split_or_in_two_is_not_trained_on(tmp_path):
    marks = ["1,0", "1,0", "0,1", "0,1", "1,1", "0,0"]
    rows = [f"{i},{'ab'[i % 2]},{mark}" for i, mark in enumerate(marks)]
    tables = {"labels.csv": table("file,class,is_train,is_test", rows)}
    root = write(tmp_path / "source", with_tables(numbered("pictures", 6), tables))
    source = images.read(str(root))
    assert counts(source) == {"train": both(1), "test": both(1)}
    assert any("'test and train'" in line for line in source.decisions)


@pytest.mark.parametrize("name", ASKED)
def test_flags_say_what_the_layout_does_not(tmp_path, name):
    layout, wish, expected = ASKED[name]
    root = write(tmp_path / "source", layout)
    asked = images.Asked(splits=split_names.Wish(**wish))
    source = images.read(str(root), asked=asked)
    assert counts(source) == expected
    keys = [item.key for s in source.splits for item in made.items(source, s)]
    assert len(set(keys)) == len(keys)


def test_the_table_and_its_columns_are_chosen_by_flags(tmp_path):
    layout = with_tables(numbered("train", 4) + classes("test"), {})
    root = write(tmp_path / "source", layout)
    csv = tmp_path / "else.csv"
    csv.write_text(
        table("dx,dx_type,image", [f"{'ab'[i % 2]},x,{i}" for i in range(4)])
    )
    asked = images.Asked(labels=str(csv))
    with pytest.raises(errors.UserError, match=r"cannot be told; it has dx, dx_type"):
        images.read(str(root), asked=asked)
    for column, ok in (("dx", True), ("dy", False)):
        columns = table_columns.AskedColumns(label=column)
        asked = images.Asked(labels=str(csv), columns=columns)
        if ok:
            source = images.read(str(root), asked=asked)
            assert counts(source) == {"train": both(2), "test": both(2)}
            assert (
                f"The classes of 'train' are in column 'dx' of {csv}, by the names in "
                "column 'image'." in source.decisions
            )
        else:
            with pytest.raises(errors.UserError, match="has no column 'dy'"):
                images.read(str(root), asked=asked)


def test_numbers_as_classes_are_in_their_order(tmp_path):
    rows = [f"{i},{[10, 9, 2][i % 3]}" for i in range(6)]
    layout = with_tables(
        numbered("train", 6) + numbered("test/2", 1), {"train.csv": table("id,y", rows)}
    )
    source = images.read(str(write(tmp_path / "source", layout)))
    assert source.classes == ("2", "9", "10")


def test_whole_numbers_with_a_point_are_classes_and_fractions_are_none(tmp_path):
    layout = with_tables(
        numbered("train", 4) + classes("test", names="12"),
        {"train.csv": table("id,y", [f"{i},{i % 2 + 1}.0" for i in range(4)])},
    )
    root = write(tmp_path / "source", layout)
    assert images.read(str(root)).classes == ("1", "2")
    (root / "train.csv").write_text(table("id,y", [f"{i},{i / 8}" for i in range(4)]))
    with pytest.raises(errors.UserError, match=r"3 labels of .* are numbers such as"):
        images.read(str(root))
