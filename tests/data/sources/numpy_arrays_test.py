import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.prepare import shards
from sam_pod.data.sources import numpy_arrays, table
from sam_pod.data.stored import verify
from tests.data import made


def make(shape=(5, 4, 3)):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (9, *shape), np.uint8),
        "y_train": np.arange(9)[:, None] % 4,  # As keras.datasets has them.
        "x_test": rng.integers(0, 256, (4, *shape), np.uint8),
        "y_test": np.arange(4, dtype=np.uint8),
    }


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    return str(path)


@pytest.mark.parametrize("name", ["set.npz", "folder"])
@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 1), (5, 4)])
def test_images_and_labels_are_those_of_the_arrays(tmp_path, name, shape):
    arrays = make(shape)
    source = numpy_arrays.read(write(tmp_path / name, arrays), str(tmp_path))
    assert source.classes == ("0", "1", "2", "3")
    for split in ("train", "test"):
        found = made.items(source, split)
        images = np.reshape([item.image for item in found], (-1, *shape))
        np.testing.assert_array_equal(images, arrays[f"x_{split}"])
        labels = [item.label for item in found]
        assert labels == arrays[f"y_{split}"].ravel().tolist()
    made.check_random_access(source)
    written = shards.write(source, str(tmp_path / "set"), num_shards=2)
    verify.check(tmp_path / "set", written)
    assert written.image_shape == (*shape, 1)[:3]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_other_processes_open_the_arrays_by_themselves(tmp_path, name):
    source = numpy_arrays.read(write(tmp_path / name, make((5, 4))), str(tmp_path))
    report = shards.write_with(source, str(tmp_path / "set"), 2, num_processes=2)
    verify.check(tmp_path / "set", report.manifest)


@pytest.mark.parametrize("name", ["set.npz", "folder"])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint16", "int16", ">i4"])
def test_bytes_in_a_wider_type_are_read_and_said(tmp_path, name, dtype, monkeypatch):
    monkeypatch.setattr(numpy_arrays, "_NUMBERS", 150)
    arrays = make()
    wide = {key: arrays[key].astype(dtype) for key in ("x_train", "x_test")}
    place = write(tmp_path / name, {**arrays, **wide})
    source = numpy_arrays.read(place, str(tmp_path))
    said = [line for line in source.decisions if "is read as uint8" in line]
    assert [line.split()[0] for line in said] == ["x_train", "x_test"]
    for split in ("train", "test"):
        images = np.stack([item.image for item in made.items(source, split)])
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, arrays[f"x_{split}"])


@pytest.mark.parametrize("name", ["set.npz", "folder"])
@pytest.mark.parametrize(
    "change, reason",
    [
        ({"x_test": None}, "--test_share=0.1"),
        ({"y_train": None}, "has no labels for 'train'"),
        ({"x_train": None, "x_test": None}, "lacks the array x_train"),
        ({"train_images": make()["x_train"]}, "train_images and x_train, both images"),
        ({"x_train": np.zeros((9, 5, 4, 3))}, r"x_train in .* is float64.*x \* 255"),
        ({"x_train": np.full((9, 5, 4), 4095, np.uint16)}, "uint16, .* 4095 to 4095"),
        (
            {"x_train": make()["x_train"].astype(int) - 1},
            "int64.* from -1 to 25",
        ),
        ({"x_test": np.zeros((4, 5, 4, 3), bool)}, "x_test in .* is bool"),
        ({"x_train": np.zeros((9, 5, 4, 2), np.uint8)}, "must be uint8"),
        ({"x_train": np.zeros((8, 5, 4, 3), np.uint8)}, r"N as in y_train \(9\)"),
        ({"y_train": np.zeros((9, 10), int)}, "9 of 9 labels of train are of no class"),
        (
            {"y_train": np.full(9, 0.5)},
            r"are no whole number \(such as 0.5\); this trains",
        ),
        ({"y_train": np.full(9, -1)}, "has no labels for 'train'"),
        ({"y_train": np.zeros(9, int)}, "1 to 3 occurs in test"),
        ({"y_train": np.zeros(0, int)}, "N above 0"),
    ],
)
def test_arrays_that_are_not_as_they_must_be_are_named(tmp_path, name, change, reason):
    arrays = {k: v for k, v in {**make(), **change}.items() if v is not None}
    path = write(tmp_path / name, arrays)
    with pytest.raises(errors.UserError, match=reason) as raised:
        numpy_arrays.read(path, str(tmp_path))
    assert path in str(raised.value) and "\n" not in str(raised.value)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 no archive")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(errors.UserError, match=rf"Cannot read .*{name}"):
            numpy_arrays.read(str(tmp_path / name), str(tmp_path))


def test_objects_are_not_unpickled(tmp_path):
    arrays = {**make(), "x_train": np.array([{}] * 9, object)}
    with pytest.raises(errors.UserError, match=r"x_train in .* holds Python obj"):
        numpy_arrays.read(write(tmp_path / "set", arrays), str(tmp_path))


def test_a_folder_of_npz_files_names_one(tmp_path):
    write(tmp_path / "set.npz", make())
    with pytest.raises(errors.UserError, match=r"Pass one of .* as set\.npz\."):
        numpy_arrays.read(str(tmp_path), str(tmp_path))


def test_medmnist_has_a_validation_split_of_its_own(tmp_path):
    arrays, labels = {}, np.array([2, 0, 1, 1, 0, 2], np.uint8)[:, None]
    images = np.stack([made.image(i, (5, 4, 3)) for i in range(6)])
    for split, first in (("train", 0), ("val", 2), ("test", 1)):
        arrays[f"{split}_images"] = images[first:]
        arrays[f"{split}_labels"] = labels[first:]
    path = write(tmp_path / "pathmnist.npz", arrays)
    request = table.Request(source=path, output=str(tmp_path / "out"))
    source = table.read("medmnist", request)
    assert (source.name, source.classes) == ("medmnist", ("0", "1", "2"))
    for split, first in (("train", 0), ("validation", 2), ("test", 1)):
        found = made.items(source, split)
        np.testing.assert_array_equal([item.image for item in found], images[first:])
        assert [item.label for item in found] == labels[first:, 0].tolist()
    assert any("--config.data.validation=split" in line for line in source.decisions)


NAMES = {
    "keras": ("x_train", "y_train", "x_test", "y_test"),
    "medmnist": ("train_images", "train_labels", "val_images", "val_labels"),
    "capitals": ("X_train", "Y_train", "X_test", "Y_test"),
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(
    "labels, classes",
    [
        (np.array(list("cabcabcab")), "abc"),
        (np.array([3, 1, 2] * 3), "123"),
        (np.eye(3)[[2, 0, 1] * 3], "012"),
        (np.array([2.0, 0.0, 1.0] * 3)[:, None], "012"),
        (np.array([b"c", b"a", b"b"] * 3), "abc"),
    ],
    ids=str,
)
def test_labels_of_every_kind_and_arrays_of_every_name(
    tmp_path, names, labels, classes
):
    images = np.stack([made.image(i, (5, 4)) for i in range(9)])
    arrays = dict(
        zip(NAMES[names], (images, labels, images[:6], labels[:6]), strict=True)
    )
    source = numpy_arrays.read(write(tmp_path / "set.npz", arrays), str(tmp_path))
    assert source.classes == tuple(classes)
    found = made.items(source, "test")
    assert [item.label for item in found] == [2, 0, 1, 2, 0, 1]
    np.testing.assert_array_equal(found[5].image[..., 0], images[5])


def test_channels_that_lead_are_moved_and_that_is_said(tmp_path):
    images = np.stack([made.image(i, (3, 5, 4)) for i in range(4)])
    labels = np.arange(4) % 2
    arrays = dict(zip(NAMES["keras"], (images, labels) * 2, strict=True))
    source = numpy_arrays.read(write(tmp_path / "set", arrays))
    for item, image in zip(made.items(source, "train"), images, strict=True):
        np.testing.assert_array_equal(item.image, image.transpose(1, 2, 0))
    assert source.channels == 3 and "channels of x_train lead" in source.decisions[0]


@pytest.mark.parametrize("labels", [None, np.full(4, -1)])
def test_a_test_split_without_labels_leaves_the_validation_as_test(tmp_path, labels):
    arrays = {**make(), "y_test": labels}
    arrays |= {"x_val": arrays["x_train"], "y_val": arrays["y_train"]}
    arrays = {k: v for k, v in arrays.items() if v is not None}
    source = numpy_arrays.read(write(tmp_path / "set", arrays))
    assert source.splits["test"].num_examples == 9 and len(source.splits) == 2
