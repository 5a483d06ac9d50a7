"""A small folder of images by split and class, and what a source refuses of it."""

import tarfile

import pytest

from sam_pod import errors
from sam_pod.data.sources import images
from tests.data import made


def make(root):
    """Write 3 + 2 training and 2 + 1 test images; return them in the right order."""
    counts = {"train": {"ant": 3, "bee": 2}, "test": {"ant": 2, "bee": 1}}
    expected, seed = {}, 0
    for split, by_class in counts.items():
        expected[split] = []
        for label, (name, count) in enumerate(by_class.items()):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                seed += 1
                image = made.image(seed)
                expected[split].append((image, label))
                # By name '10' is before '9'.
                (folder / f"{[10, 11, 9][index]}.png").write_bytes(made.png(image))
    return expected


@pytest.fixture
def tree(tmp_path):
    make(tmp_path / "tree")
    return tmp_path / "tree"


def pack(path, root, prefix="", mode="w", folders=False):
    """Pack a tree in an order that is none."""
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as tar:
        files = [p for p in root.rglob("*") if folders or p.is_file()]
        for file in sorted(files, key=lambda p: p.name[::-1]):
            name = prefix + str(file.relative_to(root))
            tar.add(file, name, recursive=False)
    return path


def refusal(path):
    with pytest.raises(errors.UserError) as raised:
        images.read(str(path))
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    return str(raised.value)
