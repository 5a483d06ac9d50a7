"""A model's file: where it may lie, and what is at a path that holds no model."""

import io
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import model_file, table
from sam_pod.storage import files

L = keras.layers
SHAPE = (8, 8, 3)


def small():
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE)
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(images))
    return keras.Model(images, L.Dense(5)(x))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return (model, folder) with it in every form."""
    folder, model = tmp_path_factory.mktemp("saved"), small()
    model.save(folder / "m.keras")
    model.save(folder / "m.h5")
    model.save_weights(folder / "m.weights.h5")
    keras.saving.save_model(model, folder / "unpacked", zipped=False)
    model.export(folder / "saved_model", verbose=False)
    return model, folder


def images():
    return tf.constant(np.random.default_rng(0).uniform(size=(4, *SHAPE)), tf.float32)


def logits(path):
    net = table.build(str(path), SHAPE, 5)
    weights, stats = net.initial_weights(), net.initial_stats()
    values = [[*map(tf.constant, part.values())] for part in (weights, stats)]
    return net.apply(*values, images()).logits


@pytest.mark.parametrize(
    "place", ["m.keras", "m.h5", "unpacked", "no_suffix.d/model", "wrong.h5", "~"]
)
def test_a_model_is_read_wherever_it_is(saved, tmp_path, monkeypatch, place):
    model, folder = saved
    path = folder / place
    content = (folder / "m.keras").read_bytes()
    if place.startswith(("no_suffix", "wrong")):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    if place == "~":
        monkeypatch.setenv("HOME", str(folder))
        path = "~/m.keras"
    table.check_name(str(path))
    np.testing.assert_allclose(logits(path), model(images()), atol=1e-6)


def test_a_model_is_read_from_a_bucket(saved):
    model, folder = saved
    for name in ("m.keras", "m.h5"):
        path = f"ram://models/{name}"
        files.write_bytes(path, (folder / name).read_bytes())
        assert model_file.is_there(path)
        np.testing.assert_allclose(logits(path), model(images()), atol=1e-6)
        assert model_file.digest(path) == model_file.digest(str(folder / name))
    with pytest.raises(
        errors.UserError, match=r"'ram://models/x\.keras', .* not there"
    ):
        table.check_name("ram://models/x.keras")
    with pytest.raises(errors.UserError, match="a model there must be one file"):
        table.check_name("ram://models")
    with pytest.raises(errors.UserError, match=r"`model\.name` is s4://b/m\.keras"):
        table.check_name("s4://b/m.keras")


def test_the_digest_is_of_the_content(saved, tmp_path):
    _, folder = saved
    content = (folder / "m.keras").read_bytes()
    copy = tmp_path / "other.name"
    copy.write_bytes(content)
    first = model_file.digest(str(folder / "m.keras"))
    assert model_file.digest(str(copy)) == first and len(first) == 64
    copy.write_bytes(content + b"\0")
    assert model_file.digest(str(copy)) != first
    unpacked = model_file.digest(str(folder / "unpacked"))
    assert unpacked == model_file.digest(str(folder / "unpacked"))


def zipped(*names):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return packed.getvalue()


WRONG = {
    "text.keras": (b"not a model", r"which is not a \.keras file"),
    "empty.keras": (b"", "which is empty: copy it again"),
    "lfs.keras": (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
    "page.keras": (b"<!DOCTYPE html><html>", "a web page"),
    "m.tflite": (b"\x1c\0\0\0TFL3\0", "TensorFlow Lite, which cannot be trained on"),
    "m.pt": (zipped("m/data.pkl", "m/byteorder"), "a file of PyTorch"),
    "old.pth": (b"\x80\x02\x8a\n", "a pickle, such as PyTorch's"),
    "w.npz": (zipped("a.npy", "b.npy"), "NumPy's arrays, without an architecture"),
    "m.zip": (zipped("x/m.keras"), r"holds x/m\.keras: unpack it"),
    "s.zip": (zipped("s/saved_model.pb"), "a SavedModel, which holds a graph"),
    "other.zip": (zipped("a.txt"), r"an archive without config\.json"),
    "m.json": (b'{"class_name": "Functional"}', "JSON: an architecture at most"),
    "m.tar.gz": (b"\x1f\x8b\x08", "compressed: unpack it"),
    "m.onnx": (b"\x08\x07\x12\x07pytorch", "nor any other model of Keras"),
    "cut.h5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5 file that is cut off"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_model_is_refused_by_what_it_is(tmp_path, name):
    content, message = WRONG[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UserError, match=message) as raised:
        table.check_name(str(tmp_path / name))
    assert "\n" not in str(raised.value) and name in str(raised.value)


def test_cut_files_weights_and_folders_are_refused_by_what_they_are(saved, tmp_path):
    _, folder = saved
    content = (folder / "m.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    (tmp_path / "folder.keras").mkdir()
    for path, message in (
        (tmp_path / "cut.keras", "cut off or damaged"),
        (folder / "m.weights.h5", "weights alone, without the architecture"),
        (folder / "saved_model", "a SavedModel, which holds a graph"),
        (tmp_path / "folder.keras", "a folder that holds no model of Keras"),
        (tmp_path / "none.keras", "which is not there"),
        (tmp_path / "cut.keras" / "x.keras", "which is not there"),
        ("~nobody-of-that-name/m.keras", "has no user"),
    ):
        with pytest.raises(errors.UserError, match=message):
            table.check_name(str(path))


def test_an_hdf5_file_of_something_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(errors.UserError, match="without the architecture"):
        table.check_name(str(tmp_path / "data.h5"))


def test_a_name_without_a_path_is_a_model_of_this_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small().save("m.keras")
    for name in ("resnet20", "mine"):
        os.link("m.keras", name)
    assert not model_file.is_path("resnet20")
    table.check_name("resnet20")
    with pytest.raises(
        errors.UserError, match=r"if the file .* is meant, give \./mine"
    ):
        table.check_name("mine")
    table.check_name("./mine")
