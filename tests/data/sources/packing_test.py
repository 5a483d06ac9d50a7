"""A folder of images, packed in every way that people use: the same images, or a line.

What packs is Python's own library and GNU tar, which know nothing of this project.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from sam_pod import errors
from sam_pod.data.sources import images, packing
from tests.data import sets


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("packed") / "flowers"
    for number, path in enumerate(
        f"{split}/{name}/{i}.png"
        for split in ("train", "test")
        for name in ("ant", "bee")
        for i in range(3)
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(sets.png(sets.noisy(number)))
    return root


def content(path, scratch):
    """Return all examples of a source."""
    source = images.read(str(path), str(scratch))
    return source.classes, {
        name: list(split.read(0, split.num_examples))
        for name, split in source.splits.items()
    }


def refusal(path, scratch):
    with pytest.raises(errors.UserError) as raised:
        content(path, scratch)
    assert str(raised.value).count("\n") == 0
    assert os.path.basename(path) in str(raised.value)
    return str(raised.value)


def tar(path, tree, edit=lambda info: info, **options):
    with tarfile.open(path, "w", **options) as archive:
        archive.add(tree, tree.name, filter=edit)
    return path


def zipped(path, tree, method=zipfile.ZIP_DEFLATED, edit=lambda info: None, **options):
    with zipfile.ZipFile(path, "w", method, **options) as archive:
        for file in sorted(tree.rglob("*.*"), key=lambda file: file.name):
            name = f"{tree.name}/{file.relative_to(tree)}"
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            edit(info)
            archive.writestr(info, file.read_bytes())
    return path


def packed(opened, whole):
    def write(path, tree):
        whole_tar = tar(path.with_suffix(".whole"), tree).read_bytes()
        path.write_bytes(opened(whole_tar) if whole else whole_tar)
        return path

    return write


def streamed_zip(path, tree):
    """Write sizes of 64 bits, behind the content, as what writes to a pipe does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in tree.rglob("*.png"):
            name = str(file.relative_to(tree))
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(file.read_bytes())
    return path


def self_unpacking(path, tree):
    path.write_bytes(b"MZ" + bytes(998) + zipped(path, tree).read_bytes())
    return path


def backslashes(info):
    info.filename = info.filename.replace("/", "\\")


WAYS = {
    "tar": tar,
    "gzip": packed(gzip.compress, True),
    "gzip twice": packed(lambda c: gzip.compress(gzip.compress(c)), True),
    "gzip in parts": packed(
        lambda c: gzip.compress(c[:700]) + gzip.compress(c[700:]), True
    ),
    "bzip2": packed(bz2.compress, True),
    "xz": packed(lzma.compress, True),
    "lzma": packed(lambda c: lzma.compress(c, lzma.FORMAT_ALONE), True),
    "gnu": lambda p, t: tar(p, t, format=tarfile.GNU_FORMAT),
    "pax": lambda p, t: tar(p, t, format=tarfile.PAX_FORMAT),
    "zip, stored": lambda p, t: zipped(p, t, zipfile.ZIP_STORED),
    "zip, deflate": zipped,
    "zip, bzip2": lambda p, t: zipped(p, t, zipfile.ZIP_BZIP2),
    "zip, lzma": lambda p, t: zipped(p, t, zipfile.ZIP_LZMA),
    "zip of Windows": lambda p, t: zipped(p, t, edit=backslashes),
    "zip64 of a stream": streamed_zip,
    "zip that unpacks itself": self_unpacking,
    "zip in gzip": lambda p, t: packed(
        lambda c: gzip.compress(zipped(p, t).read_bytes()), True
    )(p, t),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_images_whatever_packs_them(tmp_path, tree, way):
    path = WAYS[way](tmp_path / "download", tree)
    assert content(path, tmp_path) == content(tree, tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar", "a.jpg"])
@pytest.mark.parametrize("way", ["gzip", "zip, deflate"])
def test_how_it_is_packed_is_seen_by_its_content(tmp_path, tree, way, name):
    path = WAYS[way](tmp_path / name, tree)
    assert content(path, tmp_path) == content(tree, tmp_path)


def test_zstd_is_unpacked_where_pyarrow_is(tmp_path, tree, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "a.tar.zst"
    with pyarrow.CompressedOutputStream(str(path), "zstd") as file:
        file.write(tar(tmp_path / "a.tar", tree).read_bytes())
    assert content(path, tmp_path) == content(tree, tmp_path)
    monkeypatch.setattr(packing.importlib.util, "find_spec", lambda name: None)
    assert "is packed by zstd, which needs pyarrow" in refusal(path, tmp_path)


def test_names_of_any_length(tmp_path, tree):
    deep = tmp_path / ("x" * 120) / ("y" * 120)
    shutil.copytree(tree, deep / "flowers")
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tar(tmp_path / f"{form}.tar", tmp_path / ("x" * 120), format=form)
        assert content(path, tmp_path) == content(tree, tmp_path)


@pytest.fixture
def linked(tmp_path, tree):
    """Return a copy of the tree and a function that makes a name a link in it."""
    root = shutil.copytree(tree, tmp_path / "linked")

    def link(name, target, how=os.symlink):
        (root / name).unlink(missing_ok=True)
        how(target, root / name)
        return root

    return root, link


def test_a_hard_link_is_the_file_that_it_is_of(tmp_path, linked):
    root, link = linked
    link("train/ant/9.png", root / "test/bee/2.png", os.link)
    link("train/ant/8.png", root / "train/ant/9.png", os.link)
    path = tar(tmp_path / "a.tar", root)
    with tarfile.open(path) as archive:
        assert sum(member.islnk() for member in archive) == 2
    assert content(path, tmp_path) == content(root, tmp_path)


def test_a_symbolic_link_is_followed_within_the_archive(tmp_path, linked):
    root, link = linked
    link("train/ant/9.png", "../../test/bee/2.png")
    link("train/ant/8.png", "9.png")
    expected = content(root, tmp_path)
    assert content(tar(tmp_path / "a.tar", root), tmp_path) == expected
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.rglob("*.png"):
            info = zipfile.ZipInfo(str(file.relative_to(root)))
            is_link = file.is_symlink()
            info.external_attr = (stat.S_IFLNK if is_link else stat.S_IFREG) << 16
            data = os.readlink(file) if is_link else file.read_bytes()
            archive.writestr(info, data)
    assert content(path, tmp_path) == expected


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("/etc/passwd", "escapes its folder, for it is a link to '/etc/passwd'"),
        ("../../../../x.png", "escapes its folder"),
        ("nothing.png", "is no file in it (1 in all)"),
        ("9.png", "is no file in it"),  # Round and round.
        ("..", "is no file in it"),
    ],
)
def test_a_link_that_leads_nowhere_names_what_helps(tmp_path, linked, target, cause):
    _, link = linked
    line = refusal(tar(tmp_path / "a.tar", link("train/ant/9.png", target)), tmp_path)
    assert cause in line and "'linked/train/ant/9.png'" in line
    assert "`tar --dereference --hard-dereference`" in line


def test_the_remedy_for_links_helps(tmp_path, linked):
    root, link = linked
    link("train/cow", "ant")  # A folder.
    link("test/cow", "ant")
    link("train/ant/9.png", root / "test/bee/2.png", os.link)
    path = tmp_path / "a.tar"
    refusal(tar(path, root), tmp_path)
    command = ["tar", "--dereference", "--hard-dereference", "-cf", path, "-C", root]
    subprocess.run([*command, "."], check=True)
    assert content(path, tmp_path) == content(root, tmp_path)


@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_a_file_with_holes_has_zeros_there(tmp_path, tree, version):
    root = shutil.copytree(tree, tmp_path / "holes")
    with open(root / "train/ant/0.png", "r+b") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"end")
        file.truncate(1 << 21)
    form = ["--format=gnu"]
    if version != "gnu":
        form = ["--format=pax", f"--sparse-version={version}"]
    path = tmp_path / "a.tar"
    subprocess.run(["tar", "-S", *form, "-cf", path, "-C", root, "."], check=True)
    assert path.stat().st_size < 1 << 19
    assert content(path, tmp_path) == content(root, tmp_path)


def test_of_two_members_of_a_name_the_last_counts(tmp_path, tree):
    expected = content(tree, tmp_path)
    other = b"another picture of this name"
    for path, first in ((tmp_path / "a.tar", "tar"), (tmp_path / "a.zip", "zip")):
        if first == "tar":
            with tarfile.open(path, "w") as archive:
                archive.add(tree / "train/ant/1.png", "flowers/train/ant/0.png")
                archive.add(tree, "flowers")
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("flowers/train/ant/0.png", other)
            with (
                zipfile.ZipFile(path, "a") as archive,
                pytest.warns(UserWarning, match="Duplicate"),
            ):
                for file in tree.rglob("*.png"):
                    archive.write(file, f"flowers/{file.relative_to(tree)}")
        assert content(path, tmp_path) == expected


def encrypted(path, tree):
    data = bytearray(zipped(path, tree).read_bytes())
    place = data.find(b"PK\1\2")
    while place >= 0:
        data[place + 8] |= 1
        place = data.find(b"PK\1\2", place + 4)
    path.write_bytes(data)
    return path


def with_method(number):
    def write(path, tree):
        data = bytearray(zipped(path, tree).read_bytes())
        place = data.find(b"PK\1\2")
        data[place + 10 : place + 12] = number.to_bytes(2, "little")
        path.write_bytes(data)
        return path

    return write


def renamed(form):
    def write(path, tree):
        def edit(info):
            info.filename = form.format(info.filename)

        return zipped(path, tree, edit=edit)

    return write


def damaged(path, tree):
    data = bytearray(zipped(path, tree, zipfile.ZIP_STORED).read_bytes())
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
    inner = tar(path.with_name("inner.tar"), tree)
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
    "a cut zip": (short(zipped), "File is not a zip file"),
    "a cut tar.xz": (short(WAYS["xz"]), "ended before"),
    "a cut tar.bz2": (short(WAYS["bzip2"]), "ended before"),
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
    assert cause in refusal(path, tmp_path)


def test_all_that_cannot_be_read_in_a_folder_is_told_at_once(tmp_path, tree):
    root = shutil.copytree(tree, tmp_path / "copy")
    (root / "train/ant/7.png").symlink_to("nowhere.png")
    (root / "train/ant/.hidden").symlink_to("nowhere")
    os.mkfifo(root / "train/bee/8.png")
    (root / "train/bee/loop").symlink_to("..")
    line = refusal(root, tmp_path)
    assert "Cannot read 3 entries of" in line
    assert "train/ant/7.png (No such file or directory)" in line
    assert "train/bee/8.png (a device or a pipe)" in line
    assert "train/bee/loop (a link to a folder around it)" in line
