"""Folders of images as people have them: which split and class each image is of."""

import collections

import pytest

from sam_pod import errors
from sam_pod.data.sources import image_tree, images, split_names, table_columns
from tests.data import made
from tests.data.sources import images_test

PNG = made.png(made.image(0, (2, 2, 3)))
WNIDS = ("n01440764", "n02084071")


def numbered(folder, count, start=0):
    return [f"{folder}/{index}.png" for index in range(start, start + count)]


def classes(*folders, names="ab", count=2):
    return [
        path
        for f in folders
        for name in names
        for path in numbered(f"{f}/{name}", count)
    ]


def table(head, rows):
    return "\n".join([*([head] if head else []), *rows])


def write(root, layout):
    for path in layout:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = layout[path] if isinstance(layout, dict) else None
        file.write_bytes(PNG if text is None else text.encode())
    return root


def with_tables(paths, tables):
    return dict.fromkeys(paths) | tables


def counts(source):
    """Return by split how many examples each class has."""
    return {
        split: {
            source.classes[label]: count
            for label, count in sorted(
                collections.Counter(i.label for i in made.items(source, split)).items()
            )
        }
        for split in source.splits
    }


def both(count):
    return {"a": count, "b": count}


TINY = {
    **dict.fromkeys(f"train/{w}/images/{w}_{i}.JPEG" for w in WNIDS for i in range(2)),
    **{f"train/{w}/{w}_boxes.txt": f"{w}_0.JPEG\t0\t0\t1\t1" for w in WNIDS},
    **dict.fromkeys(f"val/images/val_{i}.JPEG" for i in range(3)),
    "val/val_annotations.txt": table(
        "", [f"val_{i}.JPEG\t{WNIDS[i % 2]}\t0\t32\t44\t62" for i in range(3)]
    ),
    **dict.fromkeys(f"test/images/test_{i}.JPEG" for i in range(2)),
    "wnids.txt": "\n".join(WNIDS),
    "words.txt": "\n".join(f"{w}\ta fish" for w in WNIDS),
}
CLS_LOC = "ILSVRC/Data/CLS-LOC"
KAGGLE = {
    **dict.fromkeys(f"{CLS_LOC}/train/{w}/{w}_{i}.JPEG" for w in WNIDS for i in (1, 2)),
    **dict.fromkeys(f"{CLS_LOC}/val/ILSVRC2012_val_0000000{i}.JPEG" for i in range(3)),
    **dict.fromkeys(f"{CLS_LOC}/test/ILSVRC2012_test_{i}.JPEG" for i in range(3)),
    "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000000.xml": "<x/>",
    "ILSVRC/ImageSets/CLS-LOC/val.txt": "ILSVRC2012_val_00000000 1",
    "LOC_synset_mapping.txt": "\n".join(f"{w} a fish" for w in WNIDS),
    "LOC_sample_submission.csv": "ImageId,PredictionString\nILSVRC2012_test_0,x",
    "LOC_train_solution.csv": f"ImageId,PredictionString\nx,{WNIDS[0]} 1 2 3 4",
    "LOC_val_solution.csv": table(
        "ImageId,PredictionString",
        [
            f"ILSVRC2012_val_0000000{i},{WNIDS[i % 2]} 85 1 499 272 "
            + (f"{WNIDS[i % 2]} 1 2 3 4 " if i else "")
            for i in range(3)
        ],
    ),
}
FISH = {"train": dict.fromkeys(WNIDS, 2), "test": {WNIDS[0]: 2, WNIDS[1]: 1}}
SPLITS = ["train"] * 4 + ["TEST"] * 2 + ["valid"] * 2
FOUR = [f"{i},{'ab'[i % 2]}" for i in range(4)]

# What lies there, and how many examples of each class there are then by split.
LAYOUTS = {
    "plain": (classes("train", "test"), {"train": both(2), "test": both(2)}),
    "other names": (
        classes("Training", "TESTING"),
        {"train": both(2), "test": both(2)},
    ),
    "a name around": (
        classes("seg/seg_train/seg_train", "seg/seg_test/seg_test")
        + numbered("seg/seg_pred/seg_pred", 3),
        {"train": both(2), "test": both(2)},
    ),
    "val alone": (classes("train", "val"), {"train": both(2), "test": both(2)}),
    "flat test": (
        classes("train", "val") + numbered("test", 3),
        {"train": both(2), "test": both(2)},
    ),
    "three": (
        classes("train", "valid", "test"),
        {"train": both(2), "test": both(2), "validation": both(2)},
    ),
    "images in classes": (
        [p.replace("/a/", "/a/images/") for p in classes("train", "test")],
        {"train": both(2), "test": both(2)},
    ),
    "a folder of images": (
        with_tables(
            classes("images/train", "images/test"), {"labels/classes.txt": "a\nb"}
        ),
        {"train": both(2), "test": both(2)},
    ),
    "tiny imagenet": (TINY, FISH),
    "kaggle imagenet": (KAGGLE, FISH),
    "kaggle": (
        with_tables(
            numbered("train", 4) + numbered("test", 2, 4) + classes("val"),
            {
                "train.csv": table("id,breed", FOUR),
                "test.csv": "id\n4\n5",
                "sample_submission.csv": "id,breed\n4,a\n5,a",
            },
        ),
        {"train": both(2), "test": both(2)},
    ),
    "two tables": (
        with_tables(
            numbered("train_images", 4) + numbered("test_images", 2, 4),
            {
                "train_labels.csv": table(
                    "label;image_id;width",
                    [f"{'ab'[i % 2]};{i}.png;{i % 3}" for i in range(4)],
                ),
                "test_labels.csv": "label;image_id;width\na;4.png;1\nb;5.png;1",
            },
        ),
        {"train": both(2), "test": both(1)},
    ),
    "paths": (
        with_tables(
            numbered("Train/1", 2) + numbered("Train/2", 2) + numbered("Test", 2),
            {"Test.csv": "Width,ClassId,Path\n9,1,Test/0.png\n9,2,Test/1.png"},
        ),
        {"train": {"1": 2, "2": 2}, "test": {"1": 1, "2": 1}},
    ),
    "a column of splits": (
        with_tables(
            numbered("pictures", 8),
            {
                "labels.csv": table(
                    "file,class,data set",
                    [f"pictures/{i}.png,{'ab'[i % 2]},{SPLITS[i]}" for i in range(8)],
                )
            },
        ),
        {"train": both(2), "test": both(1), "validation": both(1)},
    ),
    **{
        f"a column of splits, test is {label or 'empty'}": (
            with_tables(
                numbered("pictures", 8),
                {
                    "labels.csv": table(
                        "file,class,split",
                        [
                            f"{i}.png,{label if s == 'TEST' else 'ab'[i % 2]},{s}"
                            for i, s in enumerate(SPLITS)
                        ],
                    )
                },
            ),
            {"train": both(2), "test": both(1)},
        )
        for label in ("", "-1", "nan")
    },
    "comments": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {
                "train.csv": table(
                    "# made by hand, 2024, twice\n#by me\nfile,label",
                    ["#another", *FOUR],
                )
            },
        ),
        {"train": both(2), "test": both(2)},
    ),
    "titles behind a hash": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {"train.csv": table("# Path;Class", [r.replace(",", ";") for r in FOUR])},
        ),
        {"train": both(2), "test": both(2)},
    ),
    "names that begin with a hash": (
        with_tables(
            [f"train/#{i}.png" for i in range(4)] + classes("test"),
            {"train.csv": table("", [f"#{row}" for row in FOUR])},
        ),
        {"train": both(2), "test": both(2)},
    ),
    "comments and no marks": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {"train.txt": table("# name class", [r.replace(",", " ") for r in FOUR])},
        ),
        {"train": both(2), "test": both(2)},
    ),
    "one-hot": (
        with_tables(
            numbered("train", 4) + classes("test"),
            {
                "train.csv": table(
                    "image,a,b", [f"{i},{1 - i % 2}.0,{i % 2}.0" for i in range(4)]
                )
            },
        ),
        {"train": both(2), "test": both(2)},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_layout_is_read_as_it_is_meant(tmp_path, name, kind):
    layout, expected = LAYOUTS[name]
    root = write(tmp_path / "source", layout)
    path = root
    if kind == "tar":
        path = images_test.pack(tmp_path / "a.tar", root, folders=True)
    source = images.read(str(path))
    assert counts(source) == expected
    kept = sum(sum(of.values()) for of in expected.values())
    if kept < sum(1 for p in layout if not p.endswith((".csv", ".txt", ".xml"))):
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
        "1 images that lie in train its",
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
        "1 images are in no row, such as train/4.png",
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
