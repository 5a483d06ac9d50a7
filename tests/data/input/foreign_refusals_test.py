"""TFRecord sets of others that cannot be trained on as they are, and what helps."""

import io
import re
import shlex

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import foreign
from sam_pod.data.prepare import flags, job
from sam_pod.data.sources import table
from sam_pod.data.stored import features, framing
from tests.data import sets
from tests.data.input import foreign_sets
from tests.data.input.foreign_sets import IMAGENET, TFDS, images, layout

cache = foreign_sets.cache
tfds = foreign_sets.tfds
classic = foreign_sets.classic


def refusal(folder, layout):
    with pytest.raises(errors.UserError) as caught:
        foreign.read(str(folder), layout)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_does_not_fit_is_refused(tfds, classic, tmp_path):
    text = refusal(tfds, layout(("train-*", "set-test*")))
    assert "`data.files.train` is 'train-*', which fits no file of" in text
    text = refusal(tfds, layout(("set-*", "set-test*")))
    assert "both fit set-test.tfrecord-00000-of-00002" in text
    text = refusal(classic, layout(("train-*", "validation-*"), IMAGENET, 4))
    assert "has image/class/label 5; with 4 classes it must be from 1 to 4" in text
    names = features.Features("image/encoded", "image/class/label", 0)
    text = refusal(classic, layout(("train-*", "validation-*"), names))
    assert "has image/class/label 5; with 5 classes it must be from 0 to 4" in text
    text = refusal(tfds, layout(("*.json", "set-test*")))
    assert "is truncated at byte 0 of 2, or no TFRecord file" in text
    assert "is no folder with files" in refusal(tmp_path / "none", TFDS)


def test_a_damaged_file_is_refused(tfds):
    path = tfds / "set-train.tfrecord-00001-of-00004"
    content = bytearray(path.read_bytes())
    start = framing.scan(str(path)).starts[3]
    content[start + 40] ^= 1
    path.write_bytes(content)
    assert f"{path} is corrupt at byte {start} of" in refusal(tfds, TFDS)
    content[start + 40] ^= 1
    path.write_bytes(content[:-1])
    assert f"{path} is truncated at byte" in refusal(tfds, TFDS)


def test_an_image_that_does_not_decode_is_refused_by_its_place(tfds):
    path = tfds / "set-train.tfrecord-00001-of-00004"
    examples = [sets.serialized(images()[i], 0) for i in range(3)]
    examples[2] = sets.serialized(b"\xff\xd8\xff and no more", 0)
    start = sets.write_file(path, examples).starts[2]
    line = refusal(tfds, TFDS)
    assert f"train files, at byte {start} of {path}, holds no image" in line


@pytest.mark.parametrize(
    "format_, options, words",
    [
        ("WEBP", {}, "has an image that is a WebP"),
        ("PNG", {"transparency": (1, 2, 3)}, "is a PNG with transparency"),
        ("JPEG", {"orientation": 6}, "is a JPEG that its EXIF data turn"),
        ("PNG", {}, ""),
        ("JPEG", {"orientation": 1}, ""),
    ],
)
def test_pictures_that_training_would_misread_are_refused_by_kind(
    tmp_path, format_, options, words
):
    if "orientation" in options:
        exif = PIL.Image.Exif()
        exif[0x0112] = options["orientation"]
        options = {"exif": exif}
    file = io.BytesIO()
    pixels = np.full((8, 8, 3), (1, 2, 3), np.uint8)
    pixels[:4] = 200
    PIL.Image.fromarray(pixels).save(file, format_, **options)
    contents = [sets.png(sets.noisy(0)), file.getvalue()]
    for split in ("train", "test"):
        sets.write_file(
            tmp_path / split,
            [sets.serialized(content, 0) for content in contents],
        )
    layout = foreign.ForeignFiles(
        "mine", {"train": "train*", "test": "test*"}, features.Features(), 1
    )
    if not words:
        assert foreign.read(str(tmp_path), layout)[0].num_examples("train") == 2
        return
    with pytest.raises(errors.UserError, match=words) as raised:
        foreign.read(str(tmp_path), layout)
    assert "Example 1 of" in str(raised.value) and "Convert" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["GZIP", "ZLIB"])
def test_a_compressed_file_is_refused_with_the_command_that_converts_it(tmp_path, kind):
    for name in ("train-0", "test-0"):
        options = tf.io.TFRecordOptions(kind)
        with tf.io.TFRecordWriter(str(tmp_path / name), options) as writer:
            writer.write(sets.serialized(images()[0], 0))
    with pytest.raises(errors.UserError) as raised:
        foreign.read(str(tmp_path), layout(("train-*", "test-*")))
    assert f"packed with {kind}" in str(raised.value)
    assert f"--dataset=tfrecord --source={tmp_path}" in str(raised.value)


@pytest.mark.parametrize(
    "image, label, words",
    [
        (b"\1" * 192, 0, "has an image that"),
        (sets.png(sets.noisy(0)), 5, "has label 5; with 5 classes"),
        (sets.png(sets.noisy(0)), b"cat", "it has image (bytes), label (bytes)"),
    ],
)
def test_what_cannot_be_trained_on_as_it_is_can_be_converted(
    tmp_path, image, label, words
):
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(image)
    kind = "bytes_list" if isinstance(label, bytes) else "int64_list"
    getattr(example.features.feature["label"], kind).value.append(label)
    for name in ("train-0", "test-0"):
        sets.write_file(tmp_path / name, [example.SerializeToString()])
    with pytest.raises(errors.UserError) as raised:
        foreign.read(str(tmp_path), layout(("train-*", "test-*")))
    assert words in str(raised.value) and "--dataset=tfrecord" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("brand, is_left_out", [("heic", True), ("webp", False)])
def test_what_no_conversion_reads_is_left_out_of_it(tmp_path, brand, is_left_out):
    content = b"\0\0\0\x18ftyp" + brand.encode() + bytes(12)
    if brand == "webp":
        file = io.BytesIO()
        PIL.Image.new("RGB", (8, 8)).save(file, "WEBP")
        content = file.getvalue()
    for name in ("train-0", "test-0"):
        sets.write_file(tmp_path / name, [sets.serialized(content, 0)])
    text = refusal(tmp_path, layout(("train-*", "test-*")))
    assert text.count("--skip_bad") == 2 * is_left_out
    assert "--image_shape" not in text and "--encoding=encoded" in text


def numbers(values):
    return {"int64_list": tf.train.Int64List(value=values)}


def pixels(count):
    return {"bytes_list": tf.train.BytesList(value=[b"\7" * count])}


SIDES = {"height": numbers([12]), "width": numbers([4]), "depth": numbers([3])}


@pytest.mark.parametrize(
    "image, more, names, packed, told, shape",
    [
        (pixels(192), {}, "pixels answer", "", "8x8x3", (8, 8, 3)),
        (pixels(192), {}, "pixels answer", "GZIP", "8x8x3", (8, 8, 3)),
        (pixels(192), {}, "image label", "", "8x8x3", (8, 8, 3)),  # By default.
        (pixels(144), SIDES, "pixels answer", "", "", (12, 4, 3)),
        (numbers(range(49)), {}, "pixels answer", "", "7x7x1", (7, 7, 1)),
        (pixels(144 * 2), {}, "pixels answer", "", "HxWxC", (12, 8, 3)),
    ],
)
def test_the_command_for_raw_pixels_converts_them(
    tmp_path, image, more, names, packed, told, shape
):
    """Paths and names that a shell would divide or expand are quoted."""
    folder = tmp_path / "a $set"
    folder.mkdir()
    features_ = {"pixels": image, "answer": numbers([1]), **more}
    example = tf.train.Example(
        features=tf.train.Features(
            feature={key: tf.train.Feature(**kind) for key, kind in features_.items()}
        )
    )
    for name in ("train-0", "test-0"):
        with tf.io.TFRecordWriter(str(folder / name), packed) as writer:
            writer.write(example.SerializeToString())
    asked = layout(("train-*", "test-*"), features.Features(*names.split()))
    command = re.search("`(python -m [^`]*)`", refusal(folder, asked))[1]
    given = f"--image_shape={told}" if told else ""
    assert re.findall(r"--image_shape=\S+", command) == [given] * bool(told)
    command = command.replace("HxWxC", "x".join(map(str, shape)))
    values = job.parse(shlex.split(command)[2:])
    request = table.Request(
        source=values.source,
        output=str(tmp_path / "new"),
        image_column=values.image_column,
        label_column=values.label_column,
        image_shape=flags.image_shape(values),
    )
    (item,) = table.read(values.dataset, request).splits["train"].read(0, 1)
    assert item.image.shape == shape
