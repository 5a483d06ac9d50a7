"""Archives, other files and folders that cannot be read: a line says what they are."""

import os
import shutil
import zipfile

import pytest

from tests.data.sources import packers

tree = packers.tree


def encrypted(path, tree):
    data = bytearray(packers.zipped(path, tree).read_bytes())
    place = data.find(b"PK\1\2")
    while place >= 0:
        data[place + 8] |= 1
        place = data.find(b"PK\1\2", place + 4)
    path.write_bytes(data)
    return path


def with_method(number):
    def write(path, tree):
        data = bytearray(packers.zipped(path, tree).read_bytes())
        place = data.find(b"PK\1\2")
        data[place + 10 : place + 12] = number.to_bytes(2, "little")
        path.write_bytes(data)
        return path

    return write


def renamed(form):
    def write(path, tree):
        def edit(info):
            info.filename = form.format(info.filename)

        return packers.zipped(path, tree, edit=edit)

    return write


def damaged(path, tree):
    data = bytearray(packers.zipped(path, tree, zipfile.ZIP_STORED).read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1
    path.write_bytes(data)
    return path


def short(write, share=0.6):
    def cut(path, tree):
        data = write(path, tree).read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return cut


def starting(content):
    def write(path, tree):
        del tree
        path.write_bytes(content)
        return path

    return write


def around(path, tree):
    inner = packers.tar(path.with_name("inner.tar"), tree)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, "train.tar")
    return path


REFUSED = {
    "an encrypted zip": (encrypted, "12 members that are encrypted"),
    "deflate64": (with_method(9), "packed by deflate64"),
    "a zip with zstd": (with_method(93), "packed by zstd"),
    "a zip that escapes": (renamed("../{}"), "escapes its folder"),
    "a zip with drives": (renamed("C:\\{}"), "escapes its folder"),
    "a zip that escapes in Windows": (renamed("a\\..\\..\\{}"), "escapes its folder"),
    "a damaged zip": (damaged, "CRC-32 of the member at byte"),
    "a cut zip": (short(packers.zipped), "File is not a zip file"),
    "a cut tar.xz": (short(packers.WAYS["xz"]), "ended before"),
    "a cut tar.bz2": (short(packers.WAYS["bzip2"]), "ended before"),
    "a tar in a zip": (around, "has a file where images may be, and none is looked"),
    "rar": (starting(b"Rar!\x1a\x07\x01\x00"), "is a RAR archive"),
    "7z": (starting(b"7z\xbc\xaf\x27\x1c\x00\x04"), "is a 7z archive"),
    ".Z": (starting(b"\x1f\x9d\x90"), "is packed by compress"),
    "lz4": (starting(b"\x04\x22\x4d\x18"), "is packed by lz4"),
    "a web page": (starting(b"<!DOCTYPE html>"), "is a web page"),
    "Git LFS": (starting(b"version https://git-lfs.x/v1\n"), "`git lfs pull`"),
    "a picture": (starting(b"\x89PNG\r\n\x1a\n"), "is a picture"),
    "nothing": (starting(b""), "it is empty"),
    "an empty zip": (starting(b"PK\5\6" + bytes(18)), "no images of train"),
    "text": (starting(b"hello, world\n" * 100), "Cannot read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_by_its_name(tmp_path, tree, what):
    write, cause = REFUSED[what]
    path = write(tmp_path / "source.tar", tree)
    assert cause in packers.refusal(path, tmp_path)


def test_all_that_cannot_be_read_in_a_folder_is_told_at_once(tmp_path, tree):
    root = shutil.copytree(tree, tmp_path / "copy")
    (root / "train/ant/7.png").symlink_to("nowhere.png")
    (root / "train/ant/.hidden").symlink_to("nowhere")
    os.mkfifo(root / "train/bee/8.png")
    (root / "train/bee/loop").symlink_to("..")
    line = packers.refusal(root, tmp_path)
    assert "Cannot read 3 entries of" in line
    assert "train/ant/7.png (No such file or directory)" in line
    assert "train/bee/8.png (a device or a pipe)" in line
    assert "train/bee/loop (a link to a folder around it)" in line
