import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import split_names, tfds
from sam_pod.data.stored import verify
from tests.data import made


def test_without_the_library_the_command_that_installs_it_is_named(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    with pytest.raises(errors.UserError, match=r"install --no-deps .*tfds\.lock`"):
        tfds.read(str(tmp_path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a data set as the library itself does."""
    library = pytest.importorskip(
        "tensorflow_datasets", reason="needs the packages of tfds.lock"
    )
    root = tmp_path_factory.mktemp("tfds")

    class Insects(library.core.GeneratorBasedBuilder):
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            features = library.features.FeaturesDict(
                {
                    "image": library.features.Image(shape=(6, 4, 3)),
                    "label": library.features.ClassLabel(names=["ant", "bee"]),
                }
            )
            return library.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            del manager
            return {
                "train": self._generate_examples(0, 13),
                "validation": self._generate_examples(50, 4),
            }

        def _generate_examples(self, first, count):
            for i in range(first, first + count):
                yield i, {"image": made.image(i), "label": i % 2}

    builder = Insects(data_dir=str(root))
    builder.download_and_prepare()
    return builder.data_dir


def test_images_come_as_they_are_stored(tmp_path, folder):
    source = tfds.read(folder)
    assert (source.name, source.classes) == ("insects", ("ant", "bee"))
    assert source.splits["test"].num_examples == 4  # Its validation split.
    made.check_random_access(source)
    found = {item.image for item in made.items(source, "train")}
    assert len(found) == 13
    written = shards.write(source, str(tmp_path / "set"), num_shards=2)
    verify.check(tmp_path / "set", written)
    pixels = np.stack([made.image(i) for i in range(13)]) / 255
    mean = pixels.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(written.mean, mean, rtol=1e-12)


def test_another_folder_is_refused(tmp_path, folder):
    with pytest.raises(errors.UserError, match=r"has no dataset_info\.json"):
        tfds.read(str(tmp_path))


def build(
    root,
    features,
    label,
    *,
    kind="tfrecord",
    splits=("train", "test"),
    count=6,
    files=None,
    **more,
):
    """Write a data set as the library does; `label` takes the split and a number."""
    library = pytest.importorskip(
        "tensorflow_datasets", reason="needs the packages of tfds.lock"
    )
    names = list(features)

    class Beetles(library.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            kinds = library.features.FeaturesDict(features)
            return library.core.DatasetInfo(builder=self, features=kinds, **more)

        def _split_generators(self, manager):
            del manager
            return {name: self._generate_examples(name) for name in splits}

        def _generate_examples(self, split):
            for i in range(count):
                yield i, {names[0]: made.image(i), names[1]: label(split, i)}

    builder = Beetles(data_dir=str(root), file_format=kind)
    builder.download_and_prepare(
        download_config=library.download.DownloadConfig(num_shards=files)
    )
    return builder.data_dir


def library_features():
    return pytest.importorskip(
        "tensorflow_datasets", reason="needs the packages of tfds.lock"
    ).features


def labels_by_image(source, split):
    """Return the label of each image, in the order in which they were written."""
    of = {
        np.asarray(item.image).tobytes()
        if isinstance(item.image, np.ndarray)
        else tf.io.decode_png(item.image).numpy().tobytes(): item.label
        for item in made.items(source, split)
    }
    return [of[made.image(i).tobytes()] for i in range(6)]


def test_whole_numbers_from_array_records_are_classes_by_what_occurs(tmp_path):
    image = library_features().Image(shape=(6, 4, 3))
    folder = build(
        tmp_path,
        {"image": image, "label": np.int64},
        lambda split, i: -1 if split == "test" else 5 * (i % 3) + 1,
        kind="array_record",
        splits=("train", "validation", "test"),
    )
    source = tfds.read(folder)
    assert source.classes == ("1", "6", "11")
    assert labels_by_image(source, "train") == [0, 1, 2] * 2
    assert labels_by_image(source, "test") == [0, 1, 2] * 2
    said = " ".join(source.decisions)
    assert "Labels 1, 6, 11 are classes 0 to 2" in said
    assert "'test' is left out: it has no labels" in said
    (item,) = source.splits["train"].read(4, 5)
    assert item == made.items(source, "train")[4]


def test_a_test_held_out_of_several_files_has_no_example_of_training(tmp_path):
    folder = build(
        tmp_path,
        {"image": library_features().Image(shape=(6, 4, 3)), "label": np.int64},
        lambda split, i: i % 4,
        splits=("train",),
        count=100,
        files=4,
    )
    source = tfds.read(folder, wish=split_names.Wish(test_share=0.2))
    parts = {split: made.items(source, split) for split in ("train", "test")}
    images = [item.image for part in parts.values() for item in part]
    assert len(set(images)) == len(images) == 100
    labels = sorted(item.label for item in parts["test"])
    assert labels == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5


def test_several_classes_of_an_image_are_refused_in_one_line(tmp_path):
    kinds = library_features()
    classes = kinds.Sequence(kinds.ClassLabel(names=["a", "b", "c"]))
    folder = build(
        tmp_path,
        {"image": kinds.Image(shape=(6, 4, 3)), "label": classes},
        lambda split, i: list(range(1 + i % 3)),
    )
    with pytest.raises(errors.UserError, match="several classes at once") as raised:
        tfds.read(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tfrecord", "array_record", "parquet"])
def test_every_format_and_every_kind_of_feature_is_read(tmp_path, kind):
    kinds = library_features()
    image, tensor = (
        kinds.Image(shape=(6, 4, 3)),
        kinds.Tensor(shape=(6, 4, 3), dtype=np.uint8),
    )
    cases = {
        "class": ({"image": image, "label": kinds.ClassLabel(names=["a", "b"])},
                  lambda split, i: i % 2, ("a", "b")),
        "tensor": ({"image": tensor, "label": np.bool_},
                   lambda split, i: bool(i % 2), ("False", "True")),
        "text": ({"image": image, "label": kinds.Text()},
                 lambda split, i: "yx"[1 - i % 2], ("x", "y")),
        "hot": ({"image": tensor, "label": kinds.Tensor(shape=(2,), dtype=np.float32)},
                lambda split, i: np.eye(2, dtype=np.float32)[i % 2], ("0", "1")),
        "names": ({"img": image, "kind": kinds.ClassLabel(names=["a", "b"])},
                  lambda split, i: i % 2, ("a", "b")),
    }  # fmt: skip
    for name, (features, label, classes) in cases.items():
        source = tfds.read(build(tmp_path / name, features, label, kind=kind))
        assert source.classes == classes
        assert labels_by_image(source, "train") == [0, 1] * 3, name
        assert ("'img' is taken" in " ".join(source.decisions)) == (name == "names")


@pytest.mark.slow
def test_what_is_no_class_or_no_test_is_refused_with_a_way_on(tmp_path):
    image = library_features().Image(shape=(6, 4, 3))
    features = {"image": image, "label": np.float32}
    folder = build(tmp_path / "a", features, lambda split, i: i / 4)
    with pytest.raises(errors.UserError, match=r"no whole number \(such as 0\.25\)"):
        tfds.read(folder)
    folder = build(
        tmp_path / "b", features, lambda split, i: float(i % 2), splits=("train",)
    )
    with pytest.raises(errors.UserError, match="--test_share"):
        tfds.read(folder)
    source = tfds.read(folder, wish=split_names.Wish(test_share=0.4))
    assert sorted(item.label for item in made.items(source, "test")) == [0, 1]
