"""A folder of images, packed in every way that people use: the same images, or a line.

What packs is Python's own library and GNU tar, which know nothing of this project.
"""

import os
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from sam_pod.data.sources import packing
from tests.data.sources import packers

tree = packers.tree


@pytest.mark.parametrize("way", packers.WAYS)
def test_the_same_images_whatever_packs_them(tmp_path, tree, way):
    path = packers.WAYS[way](tmp_path / "download", tree)
    assert packers.content(path, tmp_path) == packers.content(tree, tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar", "a.jpg"])
@pytest.mark.parametrize("way", ["gzip", "zip, deflate"])
def test_how_it_is_packed_is_seen_by_its_content(tmp_path, tree, way, name):
    path = packers.WAYS[way](tmp_path / name, tree)
    assert packers.content(path, tmp_path) == packers.content(tree, tmp_path)


def test_zstd_is_unpacked_where_pyarrow_is(tmp_path, tree, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "a.tar.zst"
    with pyarrow.CompressedOutputStream(str(path), "zstd") as file:
        file.write(packers.tar(tmp_path / "a.tar", tree).read_bytes())
    assert packers.content(path, tmp_path) == packers.content(tree, tmp_path)
    monkeypatch.setattr(packing.importlib.util, "find_spec", lambda name: None)
    assert "is packed by zstd, which needs pyarrow" in packers.refusal(path, tmp_path)


def test_names_of_any_length(tmp_path, tree):
    deep = tmp_path / ("x" * 120) / ("y" * 120)
    shutil.copytree(tree, deep / "flowers")
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = packers.tar(
            tmp_path / f"{form}.tar", tmp_path / ("x" * 120), format=form
        )
        assert packers.content(path, tmp_path) == packers.content(tree, tmp_path)


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
    path = packers.tar(tmp_path / "a.tar", root)
    with tarfile.open(path) as archive:
        assert sum(member.islnk() for member in archive) == 2
    assert packers.content(path, tmp_path) == packers.content(root, tmp_path)


def test_a_symbolic_link_is_followed_within_the_archive(tmp_path, linked):
    root, link = linked
    link("train/ant/9.png", "../../test/bee/2.png")
    link("train/ant/8.png", "9.png")
    expected = packers.content(root, tmp_path)
    assert packers.content(packers.tar(tmp_path / "a.tar", root), tmp_path) == expected
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.rglob("*.png"):
            info = zipfile.ZipInfo(str(file.relative_to(root)))
            is_link = file.is_symlink()
            info.external_attr = (stat.S_IFLNK if is_link else stat.S_IFREG) << 16
            data = os.readlink(file) if is_link else file.read_bytes()
            archive.writestr(info, data)
    assert packers.content(path, tmp_path) == expected


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
    line = packers.refusal(
        packers.tar(tmp_path / "a.tar", link("train/ant/9.png", target)), tmp_path
    )
    assert cause in line and "'linked/train/ant/9.png'" in line
    assert "`tar --dereference --hard-dereference`" in line


def test_the_remedy_for_links_helps(tmp_path, linked):
    root, link = linked
    link("train/cow", "ant")  # A folder.
    link("test/cow", "ant")
    link("train/ant/9.png", root / "test/bee/2.png", os.link)
    path = tmp_path / "a.tar"
    packers.refusal(packers.tar(path, root), tmp_path)
    command = ["tar", "--dereference", "--hard-dereference", "-cf", path, "-C", root]
    subprocess.run([*command, "."], check=True)
    assert packers.content(path, tmp_path) == packers.content(root, tmp_path)


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
    assert packers.content(path, tmp_path) == packers.content(root, tmp_path)


def test_of_two_members_of_a_name_the_last_counts(tmp_path, tree):
    expected = packers.content(tree, tmp_path)
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
        assert packers.content(path, tmp_path) == expected
