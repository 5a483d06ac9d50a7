"""What lies among images and is none is left out, and counted in one line."""

import shutil

import pytest

from sam_pod import errors
from sam_pod.data.sources import images
from tests.data.sources import packers

tree = packers.tree
LITTER = (
    "__MACOSX/flowers/train/ant/._0.png",
    "flowers/.DS_Store",
    "flowers/train/ant/.DS_Store",
    "flowers/train/ant/._0.png",
    "flowers/train/ant/Thumbs.db",
    "flowers/train/ant/desktop.ini",
    "flowers/train/ant/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
    "flowers/train/$RECYCLE.BIN/$R1.png",
    "flowers/train/.gitkeep",
    "flowers/train/README",
    "flowers/.git/objects/ab/cdef",
    "flowers/lost+found/#12",
    "flowers/LICENSE",
    "flowers/_SUCCESS",
    "flowers/MD5SUMS",
    "flowers/flowers.sha256",
    "flowers/load.py",
    "flowers/paper.pdf",
)


def add(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no image")


@pytest.fixture
def around(tmp_path, tree):
    shutil.copytree(tree, tmp_path / "around" / "flowers")
    return tmp_path / "around"


@pytest.mark.parametrize("name", LITTER)
def test_each_is_left_out_and_named(tmp_path, tree, around, name):
    add(around, name)
    expected = packers.content(tree, tmp_path)
    packed = packers.tar(tmp_path / "a.tar", around)
    for place, said in ((around, name), (packed, f"around/{name}")):
        assert packers.content(place, tmp_path) == expected
        decisions = images.read(str(place), str(tmp_path)).decisions
        assert f"1 file is no image: {said}." in decisions


def test_many_are_counted_and_the_first_are_named(tmp_path, around):
    add(around, *LITTER)
    lines = images.read(str(around), str(tmp_path)).decisions
    assert (
        "18 files are no images: __MACOSX/flowers/train/ant/._0.png, "
        "flowers/.DS_Store, flowers/.git/objects/ab/cdef and 15 more." in lines
    )


def test_a_folder_without_litter_says_nothing(tmp_path, around):
    lines = images.read(str(around), str(tmp_path)).decisions
    assert not any("no image" in line for line in lines)


def test_locks_of_preparations_are_no_files_of_the_user(tmp_path, around):
    add(around, "flowers/.out.making", ".out.making")
    for path in (around, packers.tar(tmp_path / "a.tar", around)):
        assert not [
            line for line in images.read(str(path)).decisions if "no image" in line
        ]


def test_the_archive_that_a_folder_came_from_may_lie_beside_it(tmp_path, around):
    add(around, "flowers/flowers.tar.gz")
    lines = images.read(str(around), str(tmp_path)).decisions
    assert "1 file is no image: flowers/flowers.tar.gz." in lines


def test_what_may_hide_images_is_refused_all_at_once(around):
    add(
        around,
        "flowers/lost+found/7.png",
        "__MACOSX/flowers/train/ant/8.JPG",
        "flowers/train/ant/more.zip",
        "flowers/train/bee/more.tar.gz",
    )
    with pytest.raises(errors.UserError) as raised:
        images.read(str(around))
    line = str(raised.value)
    assert "has 4 files where images may be, and none is looked for: " in line
    assert "__MACOSX/flowers/train/ant/8.JPG, flowers/lost+found/7.png, " in line
    assert "and 1 more. Unpack what is packed" in line


def test_archives_of_the_splits_are_not_taken_for_a_folder_of_images(tmp_path):
    add(tmp_path / "set", "train.zip", "test.zip")
    with pytest.raises(errors.UserError, match=r"2 files where images.*test\.zip, tr"):
        images.read(str(tmp_path / "set"))
