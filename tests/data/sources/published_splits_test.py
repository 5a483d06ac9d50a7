"""Lists beside folders of classes: taken as published, or said not to be."""

import numpy as np
import pytest
import scipy.io

from sam_pod import errors
from sam_pod.data.sources import images, split_names
from tests.data import made
from tests.data.sources import layouts, trees

IMAGES = layouts.classes("images", count=4)  # Classes a and b, 0 to 3 each.


def below(*numbers):
    return [f"{name}/{i}" for name in "ab" for i in numbers]


def text(lines):
    return "\n".join(lines) + "\n"


def food(folder="meta", train="train.txt", test="test.txt", row="{}", **more):
    tables = {
        f"{folder}/{train}": text(row.format(path) for path in below(0, 2)),
        f"{folder}/{test}": text(row.format(path) for path in below(3)),
        **more,
    }
    return layouts.with_tables(IMAGES, {k.lstrip("/"): v for k, v in tables.items()})


def cub(flags=(1, 0, 1, 0)):
    ids = range(1, len(IMAGES) + 1)
    paths = [path.removeprefix("images/") for path in IMAGES]
    tables = {
        "images.txt": text(f"{i} {path}" for i, path in zip(ids, paths, strict=True)),
        "train_test_split.txt": text(f"{i} {flags[(i - 1) % 4]}" for i in ids),
        "image_class_labels.txt": text(f"{i} {(i - 1) // 4 + 1}" for i in ids),
        "classes.txt": "1 a\n2 b\n",
    }
    found = layouts.with_tables(IMAGES, tables)
    return {f"CUB_200_2011/{path}": content for path, content in found.items()}


def test_lists_that_matlab_wrote_are_taken(tmp_path):
    """Stanford Dogs."""
    root = layouts.write(tmp_path / "source", IMAGES)
    for split, numbers in (("train", (0, 2)), ("test", (1, 3))):
        paths = np.array([[f"{path}.png"] for path in below(*numbers)], object)
        labels = np.array([[1 + i] for i in range(len(paths))])
        content = {"file_list": paths, "labels": labels}
        scipy.io.savemat(root / f"{split}_list.mat", content)
    source = images.read(str(root))
    assert keys(source) == {"train": below(0, 2), "test": below(1, 3)}


def keys(source):
    return {
        split: sorted(item.key.removeprefix("images/").removesuffix(".png")
                      for item in made.items(source, split))
        for split in source.splits
    }  # fmt: skip


TAKEN = {
    "food": (food(), [0, 2], [3]),
    "a list of classes": (
        food(**{"meta/classes.txt": "a\nb\n", "meta/train.json": "{}"}),
        [0, 2],
        [3],
    ),
    "indoor": (food("", "TrainImages.txt", "TestImages.txt", "{}.png"), [0, 2], [3]),
    "with classes": (food("lists", row="./images/{}.png 7"), [0, 2], [3]),
    "backslashes": (
        layouts.with_tables(
            IMAGES, {"train.txt": "a\\0.png\nb\\0.png\n", "test.txt": text(below(1))}
        ),
        [0],
        [1],
    ),
    "birds": (cub(), [0, 2], [1, 3]),
}


@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("name", TAKEN)
def test_the_published_splits_are_taken(tmp_path, name, kind):
    layout, train, test = TAKEN[name]
    path = root = layouts.write(tmp_path / "source", layout)
    if kind == "tar":
        path = trees.pack(tmp_path / "a.tar", root, folders=True)
    source = images.read(str(path))
    assert keys(source) == {"train": below(*train), "test": below(*test)}
    (line,) = [d for d in source.decisions if d.startswith("The splits are those of")]
    assert f": {2 * len(train)} of train, {2 * len(test)} of test" in line
    rest = len(IMAGES) - 2 * len(train + test)
    assert (f"{rest} images are in none of them and left out" in line) == bool(rest)
    made.check_random_access(source)


def test_lines_that_name_no_image_are_counted(tmp_path):
    lines = {"meta/train.txt": text([*below(0, 1, 2), "c/9", "a/9"])}
    root = layouts.write(tmp_path / "source", food(**lines))
    source = images.read(str(root))
    assert "; 2 lines name no image." in " ".join(source.decisions)


AMBIGUOUS = {
    "versions": (
        food(train="train1.txt", test="test1.txt", **{"meta/train2.txt": "a/1\nb/1"}),
        "meta/test1.txt, meta/train1.txt, meta/train2.txt may say splits",
    ),
    "an image of both": (
        food(**{"meta/test.txt": text(below(2, 3))}),
        r"a/2\.png is in train and in test",
    ),
    "train alone": (food(test="other.txt"), "of one split alone"),
    "other numbers": (cub((0, 1, 2, 1)), "second column is not of 0 and 1"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_lists_that_are_not_clear_are_named_and_not_used(tmp_path, name):
    layout, reason = AMBIGUOUS[name]
    root = layouts.write(tmp_path / "source", layout)
    with pytest.raises(errors.UserError, match=reason) as raised:
        images.read(str(root))
    assert "a table of the columns file, label and split" in str(raised.value)
    assert "--test_share" in str(raised.value)
    asked = images.Asked(splits=split_names.Wish(test_share=0.5))
    source = images.read(str(root), asked=asked)
    assert len(made.items(source, "train")) == len(made.items(source, "test")) == 4
    assert any("may say splits" in line for line in source.decisions)


def test_flags_win_and_say_so(tmp_path):
    root = layouts.write(tmp_path / "source", food())
    asked = images.Asked(splits=split_names.Wish(test_share=0.5))
    source = images.read(str(root), asked=asked)
    assert len(made.items(source, "train")) == 4
    said = " ".join(source.decisions)
    assert "Not used, for the flags say otherwise: The splits are those of" in said
    asked = images.Asked(splits=split_names.Wish(train="test", test="train"))
    source = images.read(str(root), asked=asked)
    assert keys(source) == {"train": below(3), "test": below(0, 2)}


@pytest.mark.parametrize(
    "notes", [{"train_log.txt": "epoch 1\nepoch 2\n"}, {"test.txt": "\n"}, {}]
)
def test_other_texts_are_not_spoken_of(tmp_path, notes):
    root = layouts.write(tmp_path / "source", layouts.with_tables(IMAGES, notes))
    asked = images.Asked(splits=split_names.Wish(test_share=0.5))
    source = images.read(str(root), asked=asked)
    assert not any("may say splits" in line for line in source.decisions)
    assert len(made.items(source, "train")) == 4
