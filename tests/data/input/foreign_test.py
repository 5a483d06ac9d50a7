"""TFRecord sets of others, in both of the usual layouts, made on the spot."""

import io
import json
import os

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import foreign, pipeline, random_access, reading
from sam_pod.data.stored import features, framing
from tests.data import sets
from tests.data.input.reading_test import take

IMAGENET = features.Features("image/encoded", "image/class/label", -1)
TRAIN, TEST = 41, 13


def images():
    return [sets.jpeg(sets.noisy(i, (9 + i % 4, 12))) for i in range(TRAIN + TEST)]


def write(folder, patterns, names=("image", "label"), first=0):
    """Write a set in files of the names that `patterns` give, by split."""
    folder.mkdir()
    for pattern, rows, count in (
        (patterns[0], range(TRAIN), 4),
        (patterns[1], range(TRAIN, TRAIN + TEST), 2),
    ):
        for i, part in enumerate(np.array_split(rows, count)):
            sets.write_file(
                folder / pattern.format(i, count),
                [
                    sets.serialized(images()[row], int(row) % 5 + first, names)
                    for row in part
                ],
            )
    return folder


def layout(patterns, names=features.PREPARED, num_classes=5):
    patterns = dict(zip(("train", "test"), patterns, strict=True))
    return foreign.ForeignFiles("foreign", patterns, names, num_classes)


TFDS = layout(("set-train.tfrecord-*", "set-test.tfrecord-*"))
CLASSIC = layout(("train-*", "validation-*"), IMAGENET)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tfds(tmp_path):
    names = (
        "set-train.tfrecord-{:05d}-of-{:05d}",
        "set-test.tfrecord-{:05d}-of-{:05d}",
    )
    folder = write(tmp_path / "tfds", names)
    (folder / "dataset_info.json").write_text("{}")  # As TFDS does.
    return folder


@pytest.fixture
def classic(tmp_path):
    names = ("train-{:05d}-of-{:05d}", "validation-{:05d}-of-{:05d}")
    keys = (IMAGENET.image, IMAGENET.label)
    return write(tmp_path / "classic", names, keys, first=1)


@pytest.mark.parametrize("kind", ["tfds", "classic"])
@pytest.mark.parametrize("is_held", [pytest.param(True, marks=pytest.mark.slow), False])
def test_both_layouts_are_read(request, kind, is_held):
    folder = request.getfixturevalue(kind)
    layout = {"tfds": TFDS, "classic": CLASSIC}[kind]
    made, offsets = foreign.read(str(folder), layout)
    assert [made.num_examples(split) for split in made.splits] == [TRAIN, TEST]
    assert (made.image_encoding, made.image_shape) == ("encoded", (0, 0, 3))
    assert len(made.classes) == 5
    splits = pipeline.splits(
        str(folder),
        made,
        9,
        reading.View(
            image_size=8, is_held=is_held, names=layout.names, offsets=offsets
        ),
    )
    seen, labels, _ = take(
        pipeline.evaluation(splits["test"], global_batch_size=TEST), 1
    )[0]
    np.testing.assert_array_equal(labels, np.arange(TRAIN, TRAIN + TEST) % 5)
    folder = folder.parent / "ours"
    ours = sets.write(folder, images()[:TRAIN], tests=images()[TRAIN:])
    ours = pipeline.splits(str(folder), ours, 9, reading.View(image_size=8))
    expected = take(pipeline.evaluation(ours["test"], global_batch_size=TEST), 1)
    np.testing.assert_array_equal(seen, expected[0][0])


def test_mean_and_deviation_are_those_of_the_training_pixels(tfds):
    import tensorflow as tf

    made, _ = foreign.read(str(tfds), TFDS)
    pixels = np.concatenate(
        [
            # As training decodes them; TensorFlow's default method differs by 1.2 of
            # 255 on average.
            tf.io.decode_jpeg(i, 3, dct_method="INTEGER_ACCURATE")
            .numpy()
            .reshape(-1, 3)
            for i in images()[:TRAIN]
        ]
    )
    np.testing.assert_allclose(made.mean, pixels.mean(0) / 255, rtol=1e-9)
    np.testing.assert_allclose(made.std, pixels.std(0) / 255, rtol=1e-9)


def count_scans(monkeypatch):
    scanned, original = [], framing.scan

    def scan(path, *arguments):
        scanned.append(os.path.basename(path))
        return original(path, *arguments)

    monkeypatch.setattr(framing, "scan", scan)
    return scanned


def test_files_are_scanned_once_and_again_where_they_change(tfds, monkeypatch):
    scanned = count_scans(monkeypatch)
    made, offsets = foreign.read(str(tfds), TFDS)
    assert len(scanned) == 6
    again, offsets_again = foreign.read(str(tfds), TFDS)
    assert len(scanned) == 6 and again == made
    for split in offsets:
        for one, other in zip(offsets[split], offsets_again[split], strict=True):
            np.testing.assert_array_equal(one, other)
    changed = tfds / "set-train.tfrecord-00002-of-00004"
    sets.write_file(changed, [sets.serialized(images()[0], 0)])
    scanned.clear()
    after, _ = foreign.read(str(tfds), TFDS)
    assert scanned == [changed.name]
    assert after.digest() != made.digest()
    assert after.num_examples("train") == TRAIN - 10 + 1


def test_a_touched_file_is_scanned_and_found_the_same(tfds, monkeypatch):
    made, _ = foreign.read(str(tfds), TFDS)
    scanned = count_scans(monkeypatch)
    path = tfds / "set-test.tfrecord-00000-of-00002"
    os.utime(path, ns=(0, 0))
    assert foreign.read(str(tfds), TFDS)[0].digest() == made.digest()
    assert scanned == [path.name]


def test_what_cannot_be_kept_beside_the_data_is_kept_in_the_users_cache(
    tfds, cache, monkeypatch
):
    (tfds / ".sam_pod").write_text("a file where the folder would be")
    made, _ = foreign.read(str(tfds), TFDS)
    assert list(cache.rglob("*.json"))
    scanned = count_scans(monkeypatch)
    assert foreign.read(str(tfds), TFDS)[0] == made
    assert not scanned


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        '{"a": 1}',
        *(
            pytest.param(content, marks=pytest.mark.slow)
            for content in ("", '[{"file": "x"}]', "[1]")
        ),
    ],
)
def test_what_was_kept_and_is_damaged_is_found_out_anew(tfds, content):
    made, _ = foreign.read(str(tfds), TFDS)
    for path in (tfds / ".sam_pod").iterdir():
        path.write_text(content)
    assert foreign.read(str(tfds), TFDS)[0] == made


def test_other_features_are_another_scan(tfds, classic):
    foreign.read(str(classic), CLASSIC)
    with pytest.raises(errors.UserError, match=r"with 'image' .bytes. and 'label'"):
        foreign.read(str(classic), layout(("train-*", "validation-*")))


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


def test_a_storage_that_does_not_answer_is_no_fault_of_the_set(tfds, monkeypatch):
    def read(self, row):
        del self, row
        return tf.py_function(lost, [], tf.string)

    def lost():
        raise tf.errors.UnavailableError(None, None, "nobody answers")

    monkeypatch.setattr(random_access.Records, "read", read)
    # As TensorFlow reports what a function of Python raises.
    with pytest.raises(tf.errors.UnknownError, match="nobody answers"):
        foreign.read(str(tfds), TFDS)


def test_what_is_kept_names_no_path(tfds):
    """The data may be seen elsewhere under another name."""
    foreign.read(str(tfds), TFDS)
    for path in (tfds / ".sam_pod").iterdir():
        assert str(tfds) not in path.read_text()
        json.loads(path.read_text())


def test_an_interruption_ends_the_scan(tfds):
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        foreign.read(str(tfds), TFDS, check)


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


def test_files_in_folders_are_found_by_a_pattern_with_a_slash(tmp_path):
    names = ("train/train-{:05d}-of-{:05d}", "validation/val-{:05d}-of-{:05d}")
    for folder in ("train", "validation"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    os.rename(tmp_path / "set", tmp_path / "there")
    write(tmp_path / "set", ("a-{}-{}", "b-{}-{}"))
    for path in sorted((tmp_path / "set").iterdir()):
        folder = int(path.name[0] == "b")
        index, count = map(int, path.name[2:].split("-"))
        path.rename(tmp_path / "there" / names[folder].format(index, count))
    for patterns in (("train/train-*", "validation/*"), ("tr*/*", "val*/val-*")):
        made, offsets = foreign.read(str(tmp_path / "there"), layout(patterns))
        assert [made.num_examples(split) for split in made.splits] == [TRAIN, TEST]
        sample = random_access.Records(
            [str(tmp_path / "there" / shard.file) for shard in made.splits["train"]],
            offsets["train"],
        )
        assert len(sample) == TRAIN
    with pytest.raises(errors.UserError, match=r"fits the folder train: .* 'train\*/"):
        foreign.read(str(tmp_path / "there"), layout(("train*", "validation/*")))


def test_a_validation_split_of_its_own_is_read(tfds):
    patterns = {
        "train": "set-train.tfrecord-0000[0-2]*",
        "test": "set-test*",
        "validation": "set-train.tfrecord-00003*",
    }
    how = foreign.ForeignFiles("foreign", patterns, features.PREPARED, 5)
    made, offsets = foreign.read(str(tfds), how)
    assert [made.num_examples(split) for split in ("train", "validation")] == [31, 10]
    assert len(offsets["validation"]) == 1


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
