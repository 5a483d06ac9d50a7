"""A folder of images and its tars: the pixels, labels and order that they say."""

import pathlib
import shutil
import struct

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.pictures import decoding
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images
from sam_pod.data.stored import manifest, verify
from tests.data import made
from tests.data.sources import trees

tree = trees.tree
REAL = pathlib.Path(__file__).parents[3].parent / "shared/data/cifar10-jpeg.tar"
CLASSES = ("ant", "bee")


def bmp(image):
    """Encode a 24-bit BMP by hand: rows from the bottom, BGR, padded to 4 bytes."""
    height, width, _ = image.shape
    row = -(-width * 3 // 4) * 4
    rows = [line[:, ::-1].tobytes().ljust(row, b"\0") for line in image[::-1]]
    header = struct.pack("<2sIHHI", b"BM", 54 + row * height, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return header + info + b"".join(rows)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def prepared(path, output):
    shards.write(images.read(str(path)), str(output), num_shards=2)
    return contents(output)


def pixels(source, split="train"):
    """Return the images as they are stored raw, each decoded by itself."""
    part = source.splits[split]
    contents = [item.image for item in part.read(0, part.num_examples)]
    return list(decoding.decode(contents, 3))


def test_pixels_and_labels_by_class_and_name(tmp_path):
    written = trees.make(tmp_path / "tree")
    source = images.read(str(tmp_path / "tree"))
    assert source.classes == CLASSES
    for split, expected in written.items():
        assert source.splits[split].num_examples == len(expected)
        for _ in range(2):  # Each call starts again.
            found = list(source.splits[split].read(0, len(expected)))
            assert [item.label for item in found] == [label for _, label in expected]
            for item, (other, _) in zip(found, expected, strict=True):
                np.testing.assert_array_equal(tf.io.decode_png(item.image), other)
        (item,) = source.splits[split].read(1, 2)
        assert item == found[1]


def test_a_folder_and_its_tars_give_the_same_bytes(tmp_path, tree):
    expected = prepared(tree, tmp_path / "folder")
    tars = {
        "flat": trees.pack(tmp_path / "a.tar", tree),
        "dotted": trees.pack(tmp_path / "b.tar", tree, "./", folders=True),
        "led": trees.pack(tmp_path / "c.tar", tree, "cifar10/", folders=True),
        "deeper": trees.pack(tmp_path / "d.tar", tree, "./data/cifar10/"),
        "packed": trees.pack(tmp_path / "e.tar.gz", tree, mode="w:gz"),
        "named otherwise": trees.pack(tmp_path / "g.bin", tree, mode="w:gz"),
    }
    for name, path in tars.items():
        assert prepared(path, tmp_path / name) == expected, name
    shutil.copytree(tree, tmp_path / "above" / "cifar10")
    assert prepared(tmp_path / "above", tmp_path / "led folder") == expected


def test_the_digest_is_of_paths_and_contents(tmp_path, tree):
    def digest(name):
        written = shards.write(images.read(str(tree)), str(tmp_path / name))
        return written.source["sha256"]

    before = digest("a")
    (tree / "train" / "ant" / "9.png").rename(tree / "train" / "ant" / "8.png")
    renamed = digest("b")
    (tree / "train" / "ant" / "8.png").write_bytes(made.png(made.image(99)))
    assert len({before, renamed, digest("c")}) == 3


def test_hidden_and_foreign_files_are_ignored(tmp_path, tree):
    expected = prepared(tree, tmp_path / "before")
    (tree / ".DS_Store").write_bytes(b"x")
    (tree / "README.md").write_bytes(b"x")
    (tree / "train" / ".DS_Store").write_bytes(b"x")
    (tree / "train" / "ant" / "._9.png").write_bytes(b"x")
    (tree / "test" / ".cache").mkdir()
    (tree / "test" / ".cache" / "x.png").write_bytes(b"x")
    digest = manifest.read(tmp_path / "before").digest()
    del expected["manifest.json"]
    for place in (tree, trees.pack(tmp_path / "a.tar", tree, folders=True)):
        output = tmp_path / f"after {place.name}"
        found = prepared(place, output)
        del found["manifest.json"]
        assert found == expected
        assert manifest.read(output).digest() == digest
        (line,) = manifest.read(output).decisions
        assert line.startswith("5 files are no images: .DS_Store, README.md, test/.c")


def test_all_formats_are_decoded_to_three_channels(tmp_path, tree):
    image, gray = made.image(1), made.image(2, (6, 4, 1))
    smooth = np.full((6, 4, 3), (200, 90, 30), np.uint8)
    flat = np.full((6, 4, 1), 128, np.uint8)
    files = {
        "1.png": (made.png(image), image, 0),
        "2.bmp": (bmp(image), image, 0),
        "3.png": (made.png(gray), np.repeat(gray, 3, axis=2), 0),
        # JPEG keeps a flat color, but for rounding between color spaces.
        "4.jpg": (tf.io.encode_jpeg(smooth, quality=100).numpy(), smooth, 2),
        "5.JPEG": (tf.io.encode_jpeg(flat).numpy(), np.repeat(flat, 3, axis=2), 0),
    }
    shutil.rmtree(tree / "train" / "bee")
    shutil.rmtree(tree / "test" / "bee")
    for path in (tree / "train" / "ant").iterdir():
        path.unlink()
    for name, (content, _, _) in files.items():
        (tree / "train" / "ant" / name).write_bytes(content)
    found = pixels(images.read(str(tree)))
    for image, (_, expected, tolerance) in zip(found, files.values(), strict=True):
        assert image.shape == (6, 4, 3)
        np.testing.assert_allclose(image.astype(int), expected, atol=tolerance)


@pytest.mark.parametrize("data, color", [("4401", (10, 20, 30)), ("4c01", (4, 5, 6))])
def test_a_gif_is_decoded(tmp_path, data, color):
    # One pixel; its code 0 or 1 stands between those for clear (4) and end (5).
    palette = bytes([10, 20, 30, 4, 5, 6])
    gif = b"GIF89a\1\0\1\0\x80\0\0" + palette + b",\0\0\0\0\1\0\1\0\0\2\2"
    gif += bytes.fromhex(data) + b"\0;"
    for split in ("train", "test"):
        (tmp_path / split / "dot").mkdir(parents=True)
        (tmp_path / split / "dot" / "a.gif").write_bytes(gif)
    (image,) = pixels(images.read(str(tmp_path)))
    assert (tuple(image[0, 0]), image.shape) == (color, (1, 1, 3))


@pytest.mark.parametrize(
    "names, line",
    [
        ("0 1 2 3 4 5 6 7 8 9 10 11", "'10' is class 2, which by value '2' would be."),
        ("-1 -2", "'-1' is class 0, which by value '-2' would be."),
        ("0 1 2 3 4 5 6 7 8 9", ""),
        ("01 02 10", ""),
        ("n1 n10 n2", ""),
    ],
)
def test_folders_that_are_numbers_are_ordered_as_text_which_is_said(
    tmp_path, names, line
):
    names = sorted(names.split())
    table = ["file,label"]
    for name in names:
        for split in ("train", "test"):
            folder = tmp_path / "folders" / split / name
            folder.mkdir(parents=True)
            (folder / "a.png").write_bytes(made.png(made.image(1)))
        table.append(f"{name}.png,{name}")
    source = images.read(str(tmp_path / "folders"))
    keras_order = keras.utils.image_dataset_from_directory(
        str(tmp_path / "folders/train"), verbose=False
    ).class_names
    assert list(source.classes) == keras_order == names
    said = [text for text in source.decisions if "as text" in text]
    assert [text.endswith(line) for text in said] == [True] * bool(line)
    # A table of the same classes has them by value.
    for split in ("train", "test"):
        (tmp_path / "table" / split).mkdir(parents=True)
        for name in names:
            path = tmp_path / "table" / split / f"{name}.png"
            path.write_bytes(made.png(made.image(1)))
        (tmp_path / "table" / f"{split}.csv").write_text("\n".join(table))
    source = images.read(str(tmp_path / "table"))
    assert (list(source.classes) == names) == (not line)
    assert not [text for text in source.decisions if "as text" in text]


@pytest.mark.slow
def test_all_of_cifar10_as_jpeg(tmp_path):
    if not REAL.exists():
        pytest.skip("needs ../shared/data/cifar10-jpeg.tar")
    source = images.read(str(REAL))
    written = shards.write(source, str(tmp_path / "set"))
    verify.check(tmp_path / "set", written)
    sizes = [written.num_examples(split) for split in ("train", "test")]
    assert (sizes, written.image_shape) == ([50_000, 10_000], (32, 32, 3))
    assert written.classes[0] == "airplane" and written.classes[9] == "truck"
    np.testing.assert_allclose(written.mean, [0.4913, 0.4821, 0.4465], atol=1e-4)
    np.testing.assert_allclose(written.std, [0.2452, 0.2428, 0.2606], atol=1e-4)
