"""How examples are stored: encoded, resized, with noise, without what is broken."""

import itertools
import os

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.pictures import decoding
from sam_pod.data.prepare import noise, shards
from sam_pod.data.sources import images
from sam_pod.data.stored import manifest, offsets, verify
from tests.data import made

COUNTS = {"train/ant": 5, "train/bee": 4, "test/ant": 2, "test/bee": 3}


@pytest.fixture
def tree(tmp_path):
    return made.tree(tmp_path / "tree", COUNTS)


def write(tree, output, num_processes=1, **options):
    return shards.write_with(
        images.read(str(tree)),
        str(output),
        2,
        shards.ShardOptions(**options),
        num_processes=num_processes,
    )


def examples(folder, split):
    for shard in manifest.read(folder).splits[split]:
        for record in tf.data.TFRecordDataset(str(folder / shard.file)):
            yield tf.train.Example.FromString(record.numpy()).features.feature


def values(folder, split, name):
    kind = "bytes_list" if name == "image" else "int64_list"
    return [getattr(e[name], kind).value[0] for e in examples(folder, split)]


def add_sizes(tree):
    (tree / "train/bee/big.jpg").write_bytes(made.jpeg(made.image(7, (20, 30, 3))))
    (tree / "test/bee/gray.png").write_bytes(made.png(made.image(8, (9, 5, 1))))


def test_encoded_images_are_kept_byte_for_byte(tmp_path, tree):
    add_sizes(tree)
    report = write(tree, tmp_path / "set", encoding="encoded")
    verify.check(tmp_path / "set", report.manifest)
    assert report.manifest.image_encoding == "encoded"
    assert report.manifest.image_shape == (0, 0, 3)
    for split in ("train", "test"):
        files = sorted((tree / split).rglob("*.*"))
        stored = values(tmp_path / "set", split, "image")
        assert stored == [path.read_bytes() for path in files]


def test_mean_and_deviation_of_encoded_images_are_those_of_all_pixels(tmp_path, tree):
    add_sizes(tree)
    written = write(tree, tmp_path / "set", encoding="encoded").manifest
    contents = [path.read_bytes() for path in (tree / "train").rglob("*.*")]
    decoded = [image.reshape(-1, 3) for image in decoding.decode(contents, 3)]
    pixels = np.concatenate(decoded) / 255
    np.testing.assert_allclose(written.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(written.std, pixels.std(axis=0), rtol=1e-10)


def test_an_index_says_where_each_record_is(tmp_path, tree):
    add_sizes(tree)
    written = write(tree, tmp_path / "set", encoding="encoded").manifest
    for shard in written.splits["train"]:
        path = tmp_path / "set" / shard.file
        content, places = path.read_bytes(), offsets.read(offsets.file_name(str(path)))
        found = [content[a + 12 : b - 4] for a, b in itertools.pairwise(places)]
        records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        assert found == list(records)


def test_sizes_that_differ_name_both_remedies(tmp_path, tree):
    add_sizes(tree)
    with pytest.raises(errors.UserError, match=r"--encoding=encoded .*--image_size=N"):
        write(tree, tmp_path / "set")
    assert os.listdir(tmp_path) == ["tree"]


def test_images_of_any_size_become_squares(tmp_path, tree):
    add_sizes(tree)
    report = write(tree, tmp_path / "set", image_size=6)
    verify.check(tmp_path / "set", report.manifest)
    assert report.manifest.image_shape == (6, 6, 3)
    contents = [path.read_bytes() for path in sorted((tree / "train").rglob("*.*"))]
    for image, stored in zip(
        decoding.decode(contents, 3),
        values(tmp_path / "set", "train", "image"),
        strict=True,
    ):
        assert stored == decoding.resize(image, 6).tobytes()


def test_noise_is_kept_beside_the_true_label(tmp_path):
    tree = made.tree(
        tmp_path / "tree", {f"train/{c}": 60 for c in "abc"} | {"test/a": 9}
    )
    written = write(tree, tmp_path / "set", label_noise=0.4, noise_seed=5).manifest
    verify.check(tmp_path / "set", written)
    wrong = written.label_noise["wrong"]
    expected = {"rate": 0.4, "seed": 5, "kind": "excluding", "wrong": wrong}
    assert written.label_noise == expected
    true = [i // 60 for i in range(180)]
    assert values(tmp_path / "set", "train", "true_label") == true
    flip = noise.Noise(0.4, 5).flip
    expected = [flip(i, label, 3) for i, label in enumerate(true)]
    assert values(tmp_path / "set", "train", "label") == expected
    assert 40 < wrong < 105
    assert wrong == sum(a != b for a, b in zip(true, expected, strict=True))
    assert written.noise_in_words() == (
        "label noise 0.4 (symmetric, the true class excluded; seed 5), "
        f"{100 - 100 * wrong / 180:.2f} % of the training labels are right"
    )
    assert values(tmp_path / "set", "test", "label") == [0] * 9
    assert all("true_label" not in e for e in examples(tmp_path / "set", "test"))


@pytest.mark.parametrize(
    "plans", [((1, 1), (7, 1)), pytest.param(((1, 1), (7, 2)), marks=pytest.mark.slow)]
)
def test_noise_does_not_depend_on_shards_or_processes(tmp_path, plans):
    tree = made.tree(
        tmp_path / "tree", {f"train/{c}": 30 for c in "abc"} | {"test/a": 2}
    )
    source = images.read(str(tree))
    options = shards.ShardOptions(label_noise=0.5)
    labels = set()
    for count, processes in plans:
        folder = tmp_path / f"{count}-{processes}"
        shards.write_with(source, str(folder), count, options, num_processes=processes)
        labels.add(tuple(values(folder, "train", "label")))
    assert len(labels) == 1


@pytest.mark.parametrize(
    "encoding, num_processes",
    [
        ("raw", 1),
        ("encoded", 1),
        pytest.param("encoded", 2, marks=pytest.mark.slow),
    ],
)
def test_bad_images_are_left_out_and_listed(tmp_path, tree, encoding, num_processes):
    expected = values_after(tree, tmp_path / "before", encoding)
    (tree / "train/ant/0002x.png").write_bytes(b"no image")
    (tree / "test/bee/zz.jpg").write_bytes(made.jpeg(made.image(1))[:-100])
    report = write(
        tree, tmp_path / "set", num_processes, encoding=encoding, skip_bad=True
    )
    assert report.skipped == ("train/ant/0002x.png", "test/bee/zz.jpg")
    verify.check(tmp_path / "set", report.manifest)
    assert report.manifest.num_examples("train") == 9
    for split, stored in expected.items():
        assert values(tmp_path / "set", split, "image") == stored
    with pytest.raises(errors.UserError, match=r"0002x\.png.* --skip_bad"):
        write(tree, tmp_path / "other", encoding=encoding)
    assert not (tmp_path / "other.partial").exists()


def values_after(tree, folder, encoding):
    write(tree, folder, encoding=encoding)
    return {split: values(folder, split, "image") for split in ("train", "test")}


def test_nothing_but_bad_images_is_refused(tmp_path, tree):
    for path in (tree / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(
        errors.UserError, match=r"No image of test in .* can be decoded"
    ):
        write(tree, tmp_path / "set", skip_bad=True)
    assert os.listdir(tmp_path) == ["tree"]


def test_a_bad_first_image_does_not_decide_the_size(tmp_path, tree):
    (tree / "train/ant/0000.png").write_bytes(b"no image")
    report = write(tree, tmp_path / "set", skip_bad=True)
    assert report.manifest.image_shape == (6, 4, 3)


def test_the_number_of_shards_follows_the_size():
    sizes = (0, 1, 100, 500, 4_000, 140_000)  # MiB.
    counts = [shards.shard_plan._default_shards(size << 20) for size in sizes]
    assert counts == [8, 8, 12, 62, 64, 1093]
