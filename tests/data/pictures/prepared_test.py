"""Sets of every kind of picture: what `prepare` decides, says and stores."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import reading
from sam_pod.data.inspect import class_sheet
from sam_pod.data.pictures import headers
from sam_pod.data.prepare import samples, shards, tallies
from sam_pod.data.sources import images
from sam_pod.data.stored import manifest, records
from tests.data import sets
from tests.data.pictures.kinds import (
    KINDS,
    REFUSED,
    SIZE,
    by_pillow,
    deep,
    seen_by_training,
)


def tree(root, train, test=None):
    """Write pictures as files of train/<class> and test/<class>, all called .jpg."""
    for split, found in (("train", train), ("test", test or train)):
        for name, contents in found.items():
            (root / split / name).mkdir(parents=True)
            for index, content in enumerate(contents):
                (root / split / name / f"{index:02d}.jpg").write_bytes(content)
    return str(root)


ALL_OF_ONE_SIZE = {
    kind: content
    for kind, content in KINDS.items()
    if by_pillow(content).shape == (*SIZE[::-1], 3)
}


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_all_kinds_are_trained_on_as_pillow_sees_them(tmp_path, encoding):
    contents = list(ALL_OF_ONE_SIZE.values())
    source = tree(tmp_path / "source", {"a": contents}, {"a": contents[:2]})
    options = shards.ShardOptions(encoding=encoding)
    report = shards.write_with(images.read(source), str(tmp_path / "set"), 1, options)
    made = report.manifest
    path = str(tmp_path / "set" / made.splits["train"][0].file)
    serialized = list(tf.data.TFRecordDataset(path))
    meant = np.array([by_pillow(content) for content in contents])

    if encoding == "raw":
        split = reading.Reader(str(tmp_path / "set"), made, "train", reading.AS_STORED)
        seen, _ = split._parse_plain(tf.stack(serialized))
        np.testing.assert_array_equal(seen, meant)
    view = reading.View(image_size=SIZE[1])
    split = reading.Reader(str(tmp_path / "set"), made, "train", view)
    parse = tf.function(split.parse)
    middle = slice((SIZE[0] - SIZE[1]) // 2, (SIZE[0] + SIZE[1]) // 2)
    for example, expected, kind in zip(serialized, meant, ALL_OF_ONE_SIZE, strict=True):
        image, _ = parse(example)
        seen, right = image.numpy().astype(int), expected[:, middle]
        is_kept = encoding == "encoded" and headers.is_plain(ALL_OF_ONE_SIZE[kind])
        if is_kept and headers.is_jpeg(ALL_OF_ONE_SIZE[kind]):
            # At the border of a part chroma has no neighbours.
            seen, right = seen[:, 1:-1], right[:, 1:-1]
        np.testing.assert_array_equal(seen, right, kind)

    pixels = meant.reshape(-1, 3) / 255
    np.testing.assert_allclose(made.mean, pixels.mean(0), atol=1e-9)
    np.testing.assert_allclose(made.std, pixels.std(0), atol=1e-9)
    # The contact sheet is drawn of the same.
    stored_images = [
        tf.train.Example.FromString(example.numpy())
        .features.feature["image"]
        .bytes_list.value[0]
        for example in serialized
    ]
    for found, expected in zip(
        class_sheet._decoded(made, stored_images), meant, strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_what_is_decided_is_said_and_stored(tmp_path):
    kinds = ("JPEG", "transparent PNG", "JPEG turned 3", "palette BMP", "animated WebP")
    source = tree(tmp_path / "source", {"a": [KINDS[kind] for kind in kinds]})
    for encoding, converted in (("raw", False), ("encoded", True)):
        folder = str(tmp_path / encoding)
        options = shards.ShardOptions(encoding=encoding)
        made = shards.write_with(images.read(source), folder, 2, options).manifest
        expected = [
            "2 pictures turned upright, as their EXIF orientation says",
            "2 pictures with transparency laid over white (--background)",
            "2 pictures of several frames or pages: the first was taken",
        ]
        if converted:
            expected.append(
                "8 pictures stored as PNG, without loss, because TensorFlow does not "
                "read them right as they are: 2 BMP, 2 JPEG, 2 PNG, 2 WebP"
            )
        assert list(made.decisions) == expected


def test_plain_pictures_need_no_decision(tmp_path):
    source = tree(tmp_path / "source", {"a": [KINDS["JPEG"], KINDS["opaque PNG"]]})
    assert shards.write(images.read(source), str(tmp_path / "set")).decisions == ()


def test_how_many_bits_are_used_is_seen_in_the_set(tmp_path):
    content, values = deep(12)["grey PNG"]
    source = tree(tmp_path / "source", {"a": [content, KINDS["PNG"]]})
    made = shards.write(images.read(source), str(tmp_path / "set"))
    assert made.decisions == ("2 pictures of 16 bits taken as 12 bits (--sixteen_bit)",)
    both = np.concatenate(
        [np.repeat(values >> 4, 3, -1), by_pillow(KINDS["PNG"])], axis=0
    )
    np.testing.assert_allclose(made.mean, both.mean((0, 1)) / 255, atol=1e-9)
    options = shards.ShardOptions(sixteen_bit="full")
    dark = shards.write_with(images.read(source), str(tmp_path / "dark"), 1, options)
    assert dark.manifest.decisions == () and dark.manifest.mean[0] < made.mean[0]


def test_one_bright_picture_that_darkens_all_others_is_said(tmp_path):
    dark, bright = deep(10)["grey PNG"][0], deep(16)["grey PNG"][0]
    source = tree(tmp_path / "source", {"a": [dark] * 4 + [bright]})
    (line,) = shards.write(images.read(source), str(tmp_path / "set")).decisions
    assert "4 of 5 pictures of 16 bits that were looked at need at most 10" in line
    assert "--sixteen_bit=10 --skip_bad" in line
    options = shards.ShardOptions(sixteen_bit="10", skip_bad=True)
    report = shards.write_with(images.read(source), str(tmp_path / "ten"), 1, options)
    assert report.skipped == ("train/a/04.jpg", "test/a/04.jpg")


@pytest.mark.parametrize("count", [1, 6, 33, 100])
def test_each_sample_is_looked_at_once_and_no_empty_range_is_read(count):
    ranges = []

    def read(start, stop):
        ranges.append((start, stop))
        return [records.Item(str(i), None, 0) for i in range(start, stop)]

    split = types.SimpleNamespace(num_examples=count, read=read)
    source = types.SimpleNamespace(splits={"train": split})
    assert samples.bits(source, "auto") == (0, "")
    rows = [row for start, stop in ranges for row in range(start, stop)]
    assert all(start < stop for start, stop in ranges)
    assert rows == sorted(set(rows)) and len(rows) == min(count, 32)


def test_all_faults_are_counted_and_the_first_ten_named(tmp_path):
    bad = [REFUSED["HEIC"][0]] * 8 + [b""] * 5
    source = tree(tmp_path / "source", {"a": [KINDS["JPEG"], *bad]}, {"a": bad[:1]})
    with pytest.raises(errors.UserError) as raised:
        shards.write_with(images.read(source), str(tmp_path / "set"), 3)
    text = str(raised.value)
    assert f"14 of 15 images in {source} cannot be used: train/a/01.jpg, " in text
    assert "train/a/08.jpg: each is a HEIC picture" in text
    assert "train/a/09.jpg, train/a/10.jpg: each is an empty file" in text
    assert "train/a/11.jpg" not in text and "and 4 others. Replace or delete" in text
    assert "--skip_bad" in text and "\n" not in text


def test_the_first_fault_is_said_where_much_is_left(tmp_path, monkeypatch):
    bad = [REFUSED["HEIC"][0]]
    good = [KINDS["JPEG"]] * 4
    source = tree(tmp_path / "source", {"a": [*bad, *good]}, {"a": [*bad, *good]})
    said = []

    def write(name):
        options = shards.ShardOptions(skip_bad=True)
        place = str(tmp_path / name)
        read = images.read(source)
        return shards.write_with(read, place, 2, options, say=said.append)

    write("short")
    assert not said
    monkeypatch.setattr(tallies, "_MANY", 2)
    report = write("long")
    assert len(report.faults) == 2
    assert len(said) == 1
    assert "/a/00.jpg in" in said[0] and "HEIC" in said[0] and "left out" in said[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_that_is_left_without_images_is_said(tmp_path, split):
    good, bad = [KINDS["JPEG"]] * 2, [REFUSED["HEIC"][0]] * 2
    found = {"train": {"a": good, "b": good}, "test": {"a": good, "b": good}}
    found[split]["b"] = bad
    source = images.read(tree(tmp_path / "source", **found))
    options = shards.ShardOptions(skip_bad=True)
    words = f"leaves no image of class 'b' in {split}: all 2 are left out"
    if split == "test":
        report = shards.write_with(source, str(tmp_path / "set"), 1, options)
        assert words in report.manifest.decisions[0]
        assert len(report.skipped) == 2 and "HEIC" in report.faults[0][1]
        return
    with pytest.raises(errors.UserError, match=f"{words}; train/b/00.jpg is a HEIC"):
        shards.write_with(source, str(tmp_path / "set"), 1, options)


def test_a_class_whose_name_is_not_utf_8_gets_one_that_is(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    source = tree(tmp_path / "source", {name: [KINDS["JPEG"]], "x": [KINDS["JPEG"]]})
    made = shards.write(images.read(source), str(tmp_path / "set"))
    assert made.classes == ("caf\xe9", "x")
    assert "not UTF-8 in the names of classes" in made.decisions[0]
    tf.constant(made.classes)
    (tmp_path / "source/train" / "caf\xe9").mkdir()
    (tmp_path / "source/train" / "caf\xe9" / "0.jpg").write_bytes(KINDS["JPEG"])
    with pytest.raises(errors.UserError, match="both called 'caf\xe9'"):
        shards.write(images.read(source), str(tmp_path / "other"))


def test_an_old_set_of_such_names_is_read_with_those_that_can_be_written(tmp_path):
    made = sets.write(tmp_path / "set", [sets.noisy(0)] * 6)
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    old = dataclasses.replace(made, classes=(name, *made.classes[1:]))
    (tmp_path / "set" / manifest.FILE_NAME).write_text(old.to_json())
    read = manifest.read(str(tmp_path / "set"))
    assert read.classes == ("caf\xe9", *made.classes[1:])


def test_an_old_set_is_shown_as_training_sees_it(tmp_path):
    # One that was prepared before pictures were looked at with care.
    content = KINDS["transparent PNG"]
    made = sets.write(tmp_path / "set", [content] * 6)
    (shown,) = class_sheet._decoded(made, [content])
    np.testing.assert_array_equal(shown, seen_by_training(content))
    assert (shown != by_pillow(content)).any()
