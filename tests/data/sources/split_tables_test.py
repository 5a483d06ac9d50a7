"""Flat images of all splits beside a table for each."""

import shlex

import pytest

from sam_pod import errors
from sam_pod.data.sources import images, split_names, split_tables
from tests.data.sources import layouts

SPLITS = {"train": (0, 1, 2, 3), "val": (4, 5), "test": (6, 7)}
BOTH = layouts.both
EXPECTED = {"train": BOTH(2), "validation": BOTH(1), "test": BOTH(1)}
IMAGES = layouts.numbered("images", 8)


def tables(pattern, head="file,label", row="{i}.png,{label}", splits=SPLITS):
    return {
        pattern.format(split): layouts.table(
            head, [row.format(i=i, label="ab"[i % 2]) for i in numbers]
        )
        for split, numbers in splits.items()
    }


def read(tmp_path, files, **asked):
    root = layouts.write(tmp_path / "source", layouts.with_tables(IMAGES, files))
    if labels := asked.get("labels"):
        asked["labels"] = ",".join(str(root / path) for path in labels)
    return images.read(str(root), asked=images.Asked(**asked))


@pytest.mark.parametrize("pattern", ["{}.csv", "images/{}_labels.csv", "my-{}.csv"])
def test_tables_of_one_split_each_are_one(tmp_path, pattern):
    source = read(tmp_path, tables(pattern))
    assert layouts.counts(source) == EXPECTED
    (line,) = [each for each in source.decisions if "The classes of" in each]
    assert all(pattern.format(split) in line for split in SPLITS)


def aircraft():
    """Return FGVC-Aircraft's texts: names with spaces, of three kinds of classes."""
    names = {"variant": ("DH-82", "Cessna 172"), "family": ("DH-82", "Boeing 737")}
    names["manufacturer"] = ("de Havilland", "McDonnell Douglas")
    splits = {**SPLITS, "trainval": (*SPLITS["train"], *SPLITS["val"])}
    texts = {
        f"images_{split}.txt": "\n".join(map(str, numbers))
        for split, numbers in splits.items()
    }
    for kind, pair in names.items():
        for split, numbers in splits.items():
            lines = [f"{i} {pair[i % 2]}" for i in numbers]
            texts[f"images_{kind}_{split}.txt"] = "\n".join(lines)
        texts[f"{kind}s.txt"] = "\n".join(pair)
    texts["images_box.txt"] = "\n".join(f"{i} 1 1 7 7" for i in range(8))
    return texts


def test_tables_of_several_kinds_are_named_with_the_flag_that_chooses(tmp_path):
    with pytest.raises(errors.UserError, match="each say classes") as raised:
        read(tmp_path, aircraft())
    flag = ",".join(
        str(tmp_path / "source" / f"images_variant_{split}.txt")
        for split in ("test", "train", "val")
    )
    assert f"--labels={flag} or" in str(raised.value) or f"or --labels={flag}." in str(
        raised.value
    )
    labels = [f"images_variant_{split}.txt" for split in SPLITS]
    source = read(tmp_path, aircraft(), labels=labels)
    assert source.classes == ("Cessna 172", "DH-82")
    counts = {"Cessna 172": 1, "DH-82": 1}
    expected = {"train": dict.fromkeys(counts, 2), "validation": counts, "test": counts}
    assert layouts.counts(source) == expected


def test_a_table_of_test_without_classes_leaves_the_share(tmp_path):
    files = tables("{}.csv", splits={"train": SPLITS["train"]})
    files["test.csv"] = "file,width\n" + "\n".join(f"{i}.png,{i}" for i in range(4, 8))
    wish = split_names.Wish(test_share=0.5)
    source = read(tmp_path, files, splits=wish)
    assert layouts.counts(source) == {"train": BOTH(1), "test": BOTH(1)}


def test_an_image_in_two_tables_leaves_those_of_train(tmp_path):
    files = tables("{}.csv", splits={"train": (0, 1, 2, 3), "test": (2, 3)})
    wish = split_names.Wish(test_share=0.5)
    source = read(tmp_path, files, splits=wish)
    assert layouts.counts(source) == {"train": BOTH(1), "test": BOTH(1)}


def test_the_flag_that_chooses_can_be_given_to_a_shell():
    path = "a $set/train.csv,a $set/test.csv"
    assert shlex.split(split_tables.flag(path)) == [f"--labels={path}"]
