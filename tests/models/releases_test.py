"""Files of other releases of Keras: read as they were meant, or refused by name."""

import io
import json
import logging
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import zipfile

import h5py
import keras
import numpy as np
import pytest

from sam_pod import errors
from sam_pod.models import model_file, releases, saved_config
from tests.models import elsewhere

ROOT = pathlib.Path(__file__).parent.parent.parent
L = keras.layers
SHAPE = (8, 8, 3)


def model():
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE)
    x = L.BatchNormalization(name="bn")(L.Conv2D(4, 3, name="conv")(images))
    inner = keras.Input((6, 6, 4))
    part = keras.Model(inner, L.Dense(8, name="inside")(inner), name="part")
    x = L.TimeDistributed(L.Dense(4), name="wrapped")(L.Reshape((36, 8))(part(x)))
    x = L.MultiHeadAttention(2, 4, name="heads")(x, x)
    x = L.Dense(5, name="top")(L.GlobalAveragePooling1D()(x))
    return keras.Model(images, x)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return (what a model predicts, its file by kind)."""
    folder, made = tmp_path_factory.mktemp("saved"), model()
    made.save(folder / "m.keras")
    made.save(folder / "m.h5")
    files = {kind: (folder / f"m.{kind}").read_bytes() for kind in ("keras", "h5")}
    return made.predict(elsewhere.images(), verbose=0), files


def edited(content, change, version="3.15.1"):
    """Return a file's content with each serialized object changed, as of a release."""

    def walk(config):
        for found in saved_config.objects(config):
            change(found["class_name"], found["config"])
        return json.dumps(config)

    if content.startswith(b"PK"):
        packed = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(content)) as old,
            zipfile.ZipFile(packed, "w") as new,
        ):
            new.writestr("model.weights.h5", old.read("model.weights.h5"))
            new.writestr("config.json", walk(json.loads(old.read("config.json"))))
            new.writestr("metadata.json", json.dumps({"keras_version": version}))
        return packed.getvalue()
    packed = io.BytesIO(content)
    with h5py.File(packed, "r+") as file:
        file.attrs["model_config"] = walk(json.loads(file.attrs["model_config"]))
        file.attrs["keras_version"] = version
    return packed.getvalue()


def load(content):
    kind = model_file.KERAS if content.startswith(b"PK") else model_file.H5
    return releases.load(model_file.ModelFile("their.file", kind, content))


NEWER = {
    "Dense": {"quantization_config": None},
    "BatchNormalization": {
        "renorm": False,
        "renorm_clipping": None,
        "renorm_momentum": 0.99,
    },
    "MultiHeadAttention": {"use_gate": False, "sliding_window": None},
    "GlorotUniform": {"input_axes": None, "output_axes": None},
    "InputLayer": {"optional": False},
    "Conv2D": {"of_a_release_to_come": None},
}


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_keys_of_newer_releases_are_left_out_where_they_change_nothing(
    saved, kind, caplog
):
    expected, files = saved
    content = edited(files[kind], lambda name, c: c.update(NEWER.get(name, {})))
    with caplog.at_level(logging.INFO, logger="absl"):
        found = load(content)
    np.testing.assert_allclose(
        found.predict(elsewhere.images(), verbose=0), expected, atol=1e-6
    )
    line = next(x for x in caplog.messages if "their.file" in x)
    assert f"saved by Keras 3.15.1; Keras {keras.__version__} does not know" in line
    assert "`of_a_release_to_come` of Conv2D" in line and "`renorm`" in line


@pytest.mark.parametrize(
    ("layer", "key", "value", "where"),
    [
        ("Dense", "quantization_config", {"x": 1}, "in Dense 'inside'"),
        ("BatchNormalization", "renorm", True, "in BatchNormalization 'bn'"),
        ("MultiHeadAttention", "use_gate", True, "in MultiHeadAttention 'heads'"),
        ("GlorotUniform", "input_axes", [0], "in GlorotUniform"),
        # What is False may be what changes something.
        ("Conv2D", "of_a_release_to_come", False, "in Conv2D 'conv'"),
    ],
)
def test_a_key_that_is_set_is_refused_with_both_releases(
    saved, layer, key, value, where
):
    def change(name, config):
        config.update(NEWER.get(name, {}))
        if name == layer:
            config[key] = value

    with pytest.raises(errors.UserError) as raised:
        load(edited(saved[1]["keras"], change))
    text = str(raised.value)
    assert f"`{key}`, which is {value!r} {where}" in text
    assert f"the file is of Keras 3.15.1, here is {keras.__version__}" in text


def test_a_layer_that_is_not_here_is_named_with_both_releases(saved):
    content = saved[1]["keras"]
    old = b'"class_name": "GlobalAveragePooling1D"'
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert old in archive.read("config.json")
    file = model_file.ModelFile("m", model_file.KERAS, edited(content, lambda *_: None))
    config = saved_config.read(file.kind, file.content)
    for found in saved_config.objects(config):
        if found["class_name"] == "GlobalAveragePooling1D":
            found["class_name"] = "AdaptiveAveragePooling1D"
    with pytest.raises(
        errors.UserError, match=r"of Keras 3\.15\.1, here .* it has no Adaptive"
    ):
        load(saved_config.replaced(file.kind, file.content, config))


def test_the_cause_is_told_and_not_the_beginning_of_a_long_message(saved):
    def change(name, config):
        if config.get("name") == "inside":
            config["units"] = -3

    with pytest.raises(errors.UserError) as raised:
        load(edited(saved[1]["keras"], change))
    assert "Cannot convert '(4, -3)' to a shape" in str(raised.value)
    assert len(str(raised.value)) < 600


def test_layers_in_another_order_are_refused(tmp_path):
    """Their weights differ by their place alone."""
    images = keras.Input(SHAPE)
    x = L.Flatten()(images)
    twins = [L.Dense(5, name="a")(x), L.Dense(5, name="b")(x)]
    keras.Model(images, L.Subtract()(twins)).save(tmp_path / "m.keras")
    content = (tmp_path / "m.keras").read_bytes()
    load(edited(content, lambda *_: None))

    def swap(name, config):
        if name == "Functional":
            layers = config["layers"]
            a, b = (
                next(i for i, x in enumerate(layers) if x["config"].get("name") == n)
                for n in "ab"
            )
            layers[a], layers[b] = layers[b], layers[a]

    swapped = edited(content, swap)
    found = None
    try:
        found = load(swapped)
    except errors.UserError as error:
        assert "in another order" in str(error)
    if found is not None:  # This Keras keeps the file's order, and so the weights.
        assert [x.name for x in found.layers if x.weights] == ["b", "a"]


def test_what_means_something_else_in_keras_3_is_refused(saved):
    def change(name, config):
        if config.get("name") == "top":
            config["activation"] = "hard_sigmoid"

    load(edited(saved[1]["keras"], change, "3.0.5"))
    with pytest.raises(errors.UserError, match=r"tf\.keras 2 and uses `hard_sigmoid`"):
        load(edited(saved[1]["keras"], change, "2.15.0"))


def test_a_file_of_no_known_release_says_so(saved):
    def change(name, config):
        if name == "Dense":
            config["foo"] = 3

    content = edited(saved[1]["keras"], change)
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(packed, "w") as new,
    ):
        for name in ("config.json", "model.weights.h5"):
            new.writestr(name, old.read(name))
    with pytest.raises(errors.UserError, match=r"the file is of Keras \?"):
        load(packed.getvalue())


RELEASES = ["3.0.5", "3.15.1"]  # The first that is read, and a newer one than ours.


@pytest.mark.slow
@pytest.mark.parametrize(
    "package", [*(f"keras=={v}" for v in RELEASES), "tf-keras==2.16.0"]
)
def test_a_file_predicts_what_it_did_where_it_was_made(tmp_path, package):
    """The release itself makes files and predictions, in a process of its own."""
    there = tmp_path / "packages"
    packages = [package, "dm-tree"]  # Which the oldest need.
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    done = subprocess.run([*install, "--target", there, *packages], capture_output=True)
    if done.returncode:
        pytest.skip(f"{package} cannot be installed: no package index answers")
    subprocess.run(
        [sys.executable, "-m", "tests.models.elsewhere", tmp_path / "made"],
        check=True,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{there}{os.pathsep}{ROOT}",
            "WITH": package.partition("==")[0].replace("-", "_"),
        },
    )
    made = sorted(
        path for path in (tmp_path / "made").iterdir() if path.suffix != ".npy"
    )
    assert len(made) > len(elsewhere.MODELS)
    for path in made:
        found = releases.load(model_file.read(str(path)))
        expected = np.load(path.with_suffix(".npy"))
        np.testing.assert_allclose(
            found(elsewhere.images(), training=False),
            expected,
            rtol=1e-5,
            atol=1e-5,
            err_msg=path.name,
        )


def test_a_disk_that_takes_no_more_is_not_the_models_fault(saved):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(errors.UserError, match="Cannot write ") as raised:
            load(saved[1]["keras"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tempfile.gettempdir() in str(raised.value)
    assert "save it again" not in str(raised.value)
