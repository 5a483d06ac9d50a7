"""Ways in which people pack a folder of images, and what a source makes of it.

What packs is Python's own library, which knows nothing of this project.
"""

import bz2
import gzip
import lzma
import os
import tarfile
import zipfile

import pytest

from sam_pod import errors
from sam_pod.data.sources import images
from tests.data import sets


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("packed") / "flowers")


def make_tree(root):
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
