"""Folders of images and tars that are refused, in one line that names what is wrong."""

import os
import shutil
import tarfile

import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images
from tests.data import made
from tests.data.sources import trees

tree = trees.tree
BROKEN = {
    "empty": b"",
    "short": b"x",
    "text": b"this is no image, it is a line of text",
    "png": made.png(made.image(3))[:-30],
    "jpeg": tf.io.encode_jpeg(made.image(3)).numpy()[:-100],
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, tree, broken):
    (tree / "test" / "ant" / "10x.png").write_bytes(BROKEN[broken])
    for path in (tree, trees.pack(tmp_path / "a.tar", tree)):
        with pytest.raises(errors.UserError) as raised:
            shards.write(images.read(str(path)), str(tmp_path / "set"))
        assert f"test/ant/10x.png in {path} is a" in str(raised.value)
        assert "--skip_bad" in str(raised.value) and "\n" not in str(raised.value)
        assert not (tmp_path / "set.partial").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_of_another_size_is_named(tmp_path, tree, split):
    (tree / split / "bee" / "11.png").write_bytes(made.png(made.image(3, (4, 6, 3))))
    with pytest.raises(errors.UserError, match=f"{split}/bee/11.png in .* 4x6x3"):
        shards.write(images.read(str(tree)), str(tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_a_class_only_in_test_is_refused(tree):
    (tree / "test" / "cow").mkdir()
    (tree / "test" / "cow" / "1.png").write_bytes(made.png(made.image(3)))
    assert "has the class 'cow' in test, but not in train" in trees.refusal(tree)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_is_refused(tmp_path, tree, split):
    (tree / split / "cow").mkdir()
    assert f"In {tree}, {split}/cow is empty" in trees.refusal(tree)
    packed = trees.pack(tmp_path / "a.tar", tree, folders=True)
    assert f"In {packed}, {split}/cow is empty" in trees.refusal(packed)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_refused(tree, split):
    shutil.rmtree(tree / split)
    reason = {"train": "to train on", "test": "with labels to test on"}[split]
    assert f"has no split {reason}; its splits are" in trees.refusal(tree)


@pytest.mark.parametrize("place", ["train/1.png", "train/ant/deeper/1.png"])
def test_a_file_out_of_place_is_refused(tree, place):
    (tree / place).parent.mkdir(exist_ok=True)
    (tree / place).write_bytes(made.png(made.image(1)))
    assert "out of place; the images must lie at" in trees.refusal(tree)


def test_no_images_are_refused(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert "has no images of train" in trees.refusal(tmp_path / "a")
    assert "has no images of train" in trees.refusal(
        trees.pack(tmp_path / "a.tar", tmp_path / "a")
    )
    assert "No source at" in trees.refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("name", ["/etc/x", "train/../../x", "train/ant/link.png"])
def test_a_tar_that_escapes_is_refused(tmp_path, mode, name):
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE if "link" in name else tarfile.REGTYPE
        tar.addfile(info)
    assert f"has a member {name!r} that" in trees.refusal(tmp_path / "a.tar")


def test_a_truncated_tar_is_refused_wherever_it_ends(tmp_path, tree):
    content = trees.pack(tmp_path / "a.tar", tree).read_bytes()
    end = len(content.rstrip(b"\0"))
    for size in [*range(0, end, 128), end]:
        (tmp_path / "b.tar").write_bytes(content[:size])
        assert "Cannot read" in trees.refusal(tmp_path / "b.tar"), size


def test_a_truncated_gzip_is_refused(tmp_path, tree):
    content = trees.pack(tmp_path / "a.tar", tree, mode="w:gz").read_bytes()
    for size in (2, 20, len(content) // 2, len(content) - 1):
        (tmp_path / "b.tar").write_bytes(content[:size])
        assert "Cannot read" in trees.refusal(tmp_path / "b.tar"), size


def test_a_tar_with_a_broken_header_is_refused(tmp_path, tree):
    content = bytearray(trees.pack(tmp_path / "a.tar", tree).read_bytes())
    content[content.index(b"train/ant/9.png")] ^= 1
    (tmp_path / "b.tar").write_bytes(content)
    assert "a broken header at byte" in trees.refusal(tmp_path / "b.tar")


def test_another_file_than_a_tar_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\3\4" + os.urandom(2000))
    assert "Cannot read" in trees.refusal(tmp_path / "a.zip")


def test_a_file_that_goes_away_is_named(tree):
    source = images.read(str(tree))
    (tree / "train" / "bee" / "11.png").unlink()
    with pytest.raises(errors.UserError, match=r"Cannot read train/bee/11\.png in"):
        list(source.splits["train"].read(0, 5))
