import os
import pathlib
import shutil
import struct
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.pictures import decoding
from sam_pod.data.prepare import shards
from sam_pod.data.sources import images
from sam_pod.data.stored import manifest, verify

REAL = pathlib.Path(__file__).parents[3].parent / "shared/data/cifar10-jpeg.tar"
CLASSES = ("ant", "bee")


def make_image(seed, shape=(6, 4, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def png(image):
    return tf.io.encode_png(image).numpy()


def bmp(image):
    """Encode a 24-bit BMP by hand: rows from the bottom, BGR, padded to 4 bytes."""
    height, width, _ = image.shape
    row = -(-width * 3 // 4) * 4
    rows = [line[:, ::-1].tobytes().ljust(row, b"\0") for line in image[::-1]]
    header = struct.pack("<2sIHHI", b"BM", 54 + row * height, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return header + info + b"".join(rows)


def make_tree(root):
    """Write 3 + 2 training and 2 + 1 test images; return them in the right order."""
    counts = {"train": {"ant": 3, "bee": 2}, "test": {"ant": 2, "bee": 1}}
    made, seed = {}, 0
    for split, by_class in counts.items():
        made[split] = []
        for label, (name, count) in enumerate(by_class.items()):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                seed += 1
                image = make_image(seed)
                made[split].append((image, label))
                # By name '10' is before '9'.
                (folder / f"{[10, 11, 9][index]}.png").write_bytes(png(image))
    return made


@pytest.fixture
def tree(tmp_path):
    make_tree(tmp_path / "tree")
    return tmp_path / "tree"


def pack(path, root, prefix="", mode="w", folders=False):
    """Pack a tree in an order that is none."""
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as tar:
        files = [p for p in root.rglob("*") if folders or p.is_file()]
        for file in sorted(files, key=lambda p: p.name[::-1]):
            name = prefix + str(file.relative_to(root))
            tar.add(file, name, recursive=False)
    return path


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


def refusal(path):
    with pytest.raises(errors.UserError) as raised:
        images.read(str(path))
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_pixels_and_labels_by_class_and_name(tmp_path):
    made = make_tree(tmp_path / "tree")
    source = images.read(str(tmp_path / "tree"))
    assert source.classes == CLASSES
    for split, expected in made.items():
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
        "flat": pack(tmp_path / "a.tar", tree),
        "dotted": pack(tmp_path / "b.tar", tree, "./", folders=True),
        "led": pack(tmp_path / "c.tar", tree, "cifar10/", folders=True),
        "deeper": pack(tmp_path / "d.tar", tree, "./data/cifar10/"),
        "packed": pack(tmp_path / "e.tar.gz", tree, mode="w:gz"),
        "named otherwise": pack(tmp_path / "g.bin", tree, mode="w:gz"),
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
    (tree / "train" / "ant" / "8.png").write_bytes(png(make_image(99)))
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
    for place in (tree, pack(tmp_path / "a.tar", tree, folders=True)):
        output = tmp_path / f"after {place.name}"
        found = prepared(place, output)
        del found["manifest.json"]
        assert found == expected
        assert manifest.read(output).digest() == digest
        (line,) = manifest.read(output).decisions
        assert line.startswith("5 files are no images: .DS_Store, README.md, test/.c")


def test_all_formats_are_decoded_to_three_channels(tmp_path, tree):
    image, gray = make_image(1), make_image(2, (6, 4, 1))
    smooth = np.full((6, 4, 3), (200, 90, 30), np.uint8)
    flat = np.full((6, 4, 1), 128, np.uint8)
    files = {
        "1.png": (png(image), image, 0),
        "2.bmp": (bmp(image), image, 0),
        "3.png": (png(gray), np.repeat(gray, 3, axis=2), 0),
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


BROKEN = {
    "empty": b"",
    "short": b"x",
    "text": b"this is no image, it is a line of text",
    "png": png(make_image(3))[:-30],
    "jpeg": tf.io.encode_jpeg(make_image(3)).numpy()[:-100],
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, tree, broken):
    (tree / "test" / "ant" / "10x.png").write_bytes(BROKEN[broken])
    for path in (tree, pack(tmp_path / "a.tar", tree)):
        with pytest.raises(errors.UserError) as raised:
            shards.write(images.read(str(path)), str(tmp_path / "set"))
        assert f"test/ant/10x.png in {path} is a" in str(raised.value)
        assert "--skip_bad" in str(raised.value) and "\n" not in str(raised.value)
        assert not (tmp_path / "set.partial").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_of_another_size_is_named(tmp_path, tree, split):
    (tree / split / "bee" / "11.png").write_bytes(png(make_image(3, (4, 6, 3))))
    with pytest.raises(errors.UserError, match=f"{split}/bee/11.png in .* 4x6x3"):
        shards.write(images.read(str(tree)), str(tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_a_class_only_in_test_is_refused(tree):
    (tree / "test" / "cow").mkdir()
    (tree / "test" / "cow" / "1.png").write_bytes(png(make_image(3)))
    assert "has the class 'cow' in test, but not in train" in refusal(tree)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_is_refused(tmp_path, tree, split):
    (tree / split / "cow").mkdir()
    assert f"In {tree}, {split}/cow is empty" in refusal(tree)
    packed = pack(tmp_path / "a.tar", tree, folders=True)
    assert f"In {packed}, {split}/cow is empty" in refusal(packed)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_refused(tree, split):
    shutil.rmtree(tree / split)
    reason = {"train": "to train on", "test": "with labels to test on"}[split]
    assert f"has no split {reason}; its splits are" in refusal(tree)


@pytest.mark.parametrize("place", ["train/1.png", "train/ant/deeper/1.png"])
def test_a_file_out_of_place_is_refused(tree, place):
    (tree / place).parent.mkdir(exist_ok=True)
    (tree / place).write_bytes(png(make_image(1)))
    assert "out of place; the images must lie at" in refusal(tree)


def test_no_images_are_refused(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert "has no images of train" in refusal(tmp_path / "a")
    assert "has no images of train" in refusal(pack(tmp_path / "a.tar", tmp_path / "a"))
    assert "No source at" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("name", ["/etc/x", "train/../../x", "train/ant/link.png"])
def test_a_tar_that_escapes_is_refused(tmp_path, mode, name):
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE if "link" in name else tarfile.REGTYPE
        tar.addfile(info)
    assert f"has a member {name!r} that" in refusal(tmp_path / "a.tar")


def test_a_truncated_tar_is_refused_wherever_it_ends(tmp_path, tree):
    content = pack(tmp_path / "a.tar", tree).read_bytes()
    end = len(content.rstrip(b"\0"))
    for size in [*range(0, end, 128), end]:
        (tmp_path / "b.tar").write_bytes(content[:size])
        assert "Cannot read" in refusal(tmp_path / "b.tar"), size


def test_a_truncated_gzip_is_refused(tmp_path, tree):
    content = pack(tmp_path / "a.tar", tree, mode="w:gz").read_bytes()
    for size in (2, 20, len(content) // 2, len(content) - 1):
        (tmp_path / "b.tar").write_bytes(content[:size])
        assert "Cannot read" in refusal(tmp_path / "b.tar"), size


def test_a_tar_with_a_broken_header_is_refused(tmp_path, tree):
    content = bytearray(pack(tmp_path / "a.tar", tree).read_bytes())
    content[content.index(b"train/ant/9.png")] ^= 1
    (tmp_path / "b.tar").write_bytes(content)
    assert "a broken header at byte" in refusal(tmp_path / "b.tar")


def test_another_file_than_a_tar_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\3\4" + os.urandom(2000))
    assert "Cannot read" in refusal(tmp_path / "a.zip")


def test_a_file_that_goes_away_is_named(tree):
    source = images.read(str(tree))
    (tree / "train" / "bee" / "11.png").unlink()
    with pytest.raises(errors.UserError, match=r"Cannot read train/bee/11\.png in"):
        list(source.splits["train"].read(0, 5))


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
