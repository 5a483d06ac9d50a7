"""TFRecords of others as a source, however they are packed, named and filled."""

import os

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import job, shards
from sam_pod.data.sources import split_names, tfrecords
from sam_pod.data.stored import example_fields, manifest, verify
from tests.data import made

COUNT = 6


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    array = np.asarray(value).reshape(-1)
    if array.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=array))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=array.astype(int)))


def write(path, examples, kind=""):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(kind)) as writer:
        for example in examples:
            features = {name: feature(value) for name, value in example.items()}
            record = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(record.SerializeToString())


def labelled(label, image=lambda i: made.png(made.image(i)), **more):
    """Return examples; `label` and `image` are functions of their numbers."""
    return [{"image": image(i), "label": label(i), **more} for i in range(COUNT)]


def make(folder, examples, names=("train-{}", "test-{}"), kind=""):
    """Write the same examples as both splits, in two files each."""
    for name in names:
        for index, part in enumerate((examples[:4], examples[4:])):
            write(folder / name.format(index), part, kind)
    return folder


def read(folder, wish=None, **asked):
    fields = example_fields.Fields(**{"image": "image", "label": "label", **asked})
    return tfrecords.read(str(folder), str(folder), fields, wish)


def pixels(item):
    image = item.image
    return tf.io.decode_png(image).numpy() if isinstance(image, bytes) else image


def check(source, classes, numbers):
    assert source.classes == tuple(classes.split())
    for split in ("train", "test"):
        items = made.items(source, split)
        assert [item.label for item in items] == numbers
        for i, item in enumerate(items):
            np.testing.assert_array_equal(pixels(item), made.image(i))
    made.check_random_access(source)


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
@pytest.mark.parametrize(
    "names",
    [
        ("train-{}-of-2", "test-{}-of-2"),
        ("train/train-{}", "validation/validation-{}"),
        ("set-train.tfrecord-0000{}-of-00002", "set-test.tfrecord-0000{}-of-00002"),
        ("train/{}-512x512.tfrec", "val/{}-512x512.tfrec"),
    ],
    ids=str,
)
def test_files_are_found_by_content_and_split_by_name(tmp_path, kind, names):
    examples = labelled(lambda i: i % 2)
    make(tmp_path, examples, names, kind)
    (tmp_path / "README.md").write_text("pictures")
    source = read(tmp_path)
    check(source, "0 1", [0, 1] * 3)
    assert "1 files are no TFRecords, and left out" in " ".join(source.decisions)


@pytest.mark.parametrize(
    "label, classes, numbers",
    [
        (lambda i: i % 3 + 1, "1 2 3", [0, 1, 2] * 2),
        (lambda i: 7 if i % 2 else 2_000_000_000, "7 2000000000", [1, 0] * 3),
        (lambda i: float(i % 2), "0 1", [0, 1] * 3),
        (lambda i: [b"dog", b"cat"][i % 2], "cat dog", [1, 0] * 3),
        (lambda i: np.eye(3)[i % 3], "0 1 2", [0, 1, 2] * 2),
        (lambda i: np.eye(3, dtype=int)[i % 3], "0 1 2", [0, 1, 2] * 2),
    ],
)
def test_labels_of_every_kind_are_classes(tmp_path, label, classes, numbers):
    check(read(make(tmp_path, labelled(label))), classes, numbers)


SIZES = {"height": 6, "width": 4, "depth": 3}


@pytest.mark.parametrize(
    "image, more, asked",
    [
        (lambda i: made.image(i).tobytes(), SIZES, {}),
        (lambda i: made.image(i).tobytes(), {"height": 6, "width": 4}, {}),
        (lambda i: made.image(i).tobytes(), {"shape": [6, 4, 3]}, {}),
        (lambda i: made.image(i).tobytes(), {}, {"shape": (6, 4, 3)}),
        (lambda i: made.image(i).astype(int), SIZES, {}),
        (lambda i: made.image(i).astype(float), {}, {"shape": (6, 4, 3)}),
    ],
)
def test_pixels_in_records_are_images(tmp_path, image, more, asked):
    folder = make(tmp_path, labelled(lambda i: i % 2, image, **more))
    check(read(folder, **asked), "0 1", [0, 1] * 3)


@pytest.mark.parametrize(
    "examples, reason",
    [
        (
            [{"a": b"x", "n": 1.5}],
            r"no feature 'image'; it has a \(bytes\), n \(float\)",
        ),
        (labelled(lambda i: [1, 1]), "6 of 6 labels of train are of several classes"),
        (labelled(lambda i: i / 4), r"no whole number \(such as 0\.25\)"),
        (labelled(lambda i: 0, lambda i: b"x" * 72), "72 bytes .* no image file: if"),
        (labelled(lambda i: 0, lambda i: [1, 2, 3]), "3 values .* shape is not known"),
    ],
)
def test_what_cannot_be_read_is_named_with_a_way_on(tmp_path, examples, reason):
    make(tmp_path, examples)
    with pytest.raises(errors.UserError, match=reason) as raised:
        for split in read(tmp_path).splits.values():
            list(split.read(0, split.num_examples))
    assert "\n" not in str(raised.value) and str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("label", [b"cat", 3, 0.0])
@pytest.mark.parametrize("asked", [{}, {"shape": (6, 4, 3)}])
def test_pixels_of_another_name_are_found_by_their_number(tmp_path, label, asked):
    more = {} if asked else {"height": 6, "width": 4, "depth": 3}
    examples = [
        {"image_raw": made.image(i).tobytes(), "label": label, "key": b"x", **more}
        for i in range(COUNT)
    ]
    source = read(make(tmp_path, examples), **asked)
    for i, item in enumerate(made.items(source, "train")):
        np.testing.assert_array_equal(item.image, made.image(i))
    assert "Feature 'image_raw' is taken for the images." in source.decisions


def test_features_of_other_names_are_found_and_said(tmp_path):
    examples = [
        {"image/encoded": made.png(made.image(i)), "image/class/label": i % 2 + 1,
         "image/height": 6, "image/width": 4, "image/class/text": b"x"}
        for i in range(COUNT)
    ]  # fmt: skip
    source = read(make(tmp_path, examples))
    check(source, "1 2", [0, 1] * 3)
    said = " ".join(source.decisions)
    assert "'image/encoded' is taken for the images" in said
    assert "'image/class/label' is taken for the labels" in said


HALF = (1.0, 0.5)


@pytest.mark.parametrize(
    "features, expected",
    [
        # Each has its value in an even and in an odd example.
        ({"species": (b"a", b"b"), "camera": (0, 1)}, ("camera", "species")),
        ({"grade": (0.0, 1.0), "camera": (0, 1)}, ("camera", "grade")),
        ({"grade": ([0, 1], [1, 0]), "camera": (0, 1)}, ("camera", "grade")),
        ({"grade": ([0.0, 1.0], [1.0, 0.0]), "n": (0, 1)}, ("grade", "n")),
        ({"class": (0, 1), "target": (b"a", b"b")}, ("class", "target")),
        ({"target": (0.0, 1.0), "camera": (0, 1)}, "target"),
        ({"y": (b"a", b"b"), "camera": (0, 1)}, "y"),
        ({"class": (0, 1), "x": (3, 4), "y": (3, 5)}, "class"),
        ({"species": (b"a", b"b"), "filename": (b"x", b"y"), "image/id": (b"1", b"2")},
         "species"),
        ({"grade": (1.0, 0.0)}, "grade"),
        ({"score": HALF, "camera": (0, 1)}, "camera"),
        ({"score": (float("nan"), 1.0), "camera": (0, 1)}, ("camera", "score")),
        ({"box": ([1, 2], [3, 4]), "camera": (0, 1)}, "camera"),
        ({"raw": (b"\xff\0", b"\1a"), "none": (b"", b""), "n": (0, 1)}, "n"),
        ({"height": (6.0, 6.0), "n": (0, 1)}, "n"),
    ],
    ids=lambda x: x if isinstance(x, str) else " ".join(x),
)  # fmt: skip
def test_no_feature_is_taken_for_labels_where_another_may_be_them(
    tmp_path, features, expected
):
    examples = [
        {"img": made.png(made.image(i)), **{k: v[i % 2] for k, v in features.items()}}
        for i in range(COUNT)
    ]
    folder = make(tmp_path, examples)
    if isinstance(expected, str):
        said = read(folder).decisions
        assert f"Feature {expected!r} is taken for the labels." in said
        return
    names = " and ".join(expected)
    with pytest.raises(errors.UserError, match=f"; {names} may be it. Pass --image_co"):
        read(folder)


def test_of_large_examples_few_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecords, "_LOOK_BYTES", 1)
    examples = [
        {"img": made.png(made.image(i)), "score": HALF[i % 2]} for i in range(COUNT)
    ]
    with pytest.raises(errors.UserError, match=r"'score' of .* no whole number"):
        read(make(tmp_path, examples))


@pytest.mark.parametrize("kind", ["", "GZIP"])
def test_a_broken_file_is_named(tmp_path, kind):
    make(tmp_path, labelled(lambda i: i % 2), kind=kind)
    path = tmp_path / "train-1"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(errors.UserError, match="train-1"):
        read(tmp_path)


def test_splits_are_chosen_by_flags_and_shares(tmp_path):
    examples = labelled(lambda i: i % 2)
    write(tmp_path / "fold1.tfrecord", examples)
    write(tmp_path / "other.tfrecord", examples[:2])
    source = read(tmp_path, split_names.Wish(train="fold", test="other"))
    assert source.splits["test"].num_examples == 2
    os.remove(tmp_path / "other.tfrecord")
    source = read(tmp_path, split_names.Wish(test_share=0.4))
    assert sorted(item.label for item in made.items(source, "test")) == [0, 1]


@pytest.mark.slow
def test_the_command_prepares_a_compressed_set_as_several_processes_do(tmp_path):
    pictures = labelled(lambda i: i % 3 + 1, lambda i: made.image(i).tobytes(), **SIZES)
    folder = make(tmp_path / "source", pictures, kind="GZIP")
    argv = ["prepare", "--dataset=tfrecord", f"--source={folder}"]
    assert job.main([*argv, f"--output={tmp_path}/one", "--num_shards=2"]) == 0
    found = manifest.read(tmp_path / "one")
    verify.check(tmp_path / "one", found)
    assert found.classes == ("1", "2", "3") and found.image_shape == (6, 4, 3)
    shards.write_with(read(folder), f"{tmp_path}/two", 2, num_processes=2)
    for path in (tmp_path / "one").glob("*.tfrecord"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
