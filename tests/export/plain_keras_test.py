"""The exported Keras file opens in other releases of Keras, without this package."""

import functools
import importlib
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from sam_pod.export import plain_keras
from sam_pod.models import batch_norm, pointwise, resnet20, vit

L = keras.layers
SHAPE = (8, 8, 3)
_OPEN = """
import sys, keras, numpy as np
images = np.load(sys.argv[1])
for path in sys.argv[3:]:
    outputs = keras.models.load_model(path)(images, training=False)
    name = path.rpartition("/")[2].replace(".keras", ".npy")
    np.save(f"{sys.argv[2]}/{name}", np.asarray(outputs).astype("float32"))
print(keras.__version__, "sam_pod" in sys.modules)
"""


def block(name):
    images = keras.Input(SHAPE)
    x = L.Conv2D(4, 3, padding="same", name="conv")(images)
    return keras.Model(images, batch_norm.FusedBatchNormalization()(x), name=name)


def wide_model():
    """Return a model of layers that took new keys since Keras 3.5, ours among them."""
    images = x = keras.Input(SHAPE)
    for layer in (
        L.RandomFlip(),
        L.RandomRotation(0.1),
        L.RandomZoom(0.1),
        L.RandomTranslation(0.1, 0.1),
        L.RandomContrast(0.1),
        L.RandomBrightness(0.1, value_range=(0, 1)),
        L.CenterCrop(8, 8),
        L.Resizing(8, 8),
    ):
        x = layer(x)
    x = L.Concatenate()([block("a")(x), block("b")(x)])
    x = pointwise.StridedPointwiseConv2D(6, 1, strides=2, padding="same")(x)
    norm = batch_norm.FusedBatchNormalization(epsilon=0.01)
    x = keras.Sequential([L.Conv2D(4, 3), norm])(x)
    y = L.Reshape((-1, 4))(L.DepthwiseConv2D(1)(x))
    y = L.EinsumDense("abc,cd->abd", (None, 4))(L.MultiHeadAttention(2, 4)(y, y))
    y = L.GlobalAveragePooling1D()(L.TimeDistributed(L.Dense(4))(y))
    return keras.Model(images, L.Dense(5)(L.Dropout(0.1)(y)))


def filled(model):
    """Return the model with values that no layer begins with."""
    chance = np.random.default_rng(0)
    for variable in model.variables:
        if variable.name != "seed_generator_state":
            variable.assign(chance.uniform(0.1, 0.6, variable.shape))
    return model


MODELS = {
    "wide": wide_model,
    "resnet20": lambda: resnet20.build(SHAPE, 5, "float32"),
    "vit": lambda: vit.build(SHAPE, 5, "float32", width=8, heads=2, patch=4, depth=2),
    "bfloat16": lambda: resnet20.build(SHAPE, 5, "mixed_bfloat16"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return what stores a model by its name, beside images: (folder, its outputs)."""
    folder = tmp_path_factory.mktemp("stored")
    images = np.random.default_rng(1).random((4, *SHAPE), np.float32)
    np.save(folder / "images.npy", images)

    @functools.cache
    def of(name):
        model = filled(MODELS[name]())
        plain_keras.save(model, str(folder / f"{name}.keras"))
        return folder, np.asarray(model(images, training=False)).astype(np.float32)

    return of


def assert_alike(outputs, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs / scale, expected / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("wide", "vit") else pytest.param(name, marks=pytest.mark.slow)
        for name in MODELS
    ],
)
def test_the_file_has_layers_of_keras_alone_and_equal_outputs(stored, name):
    folder, outputs = stored(name)
    with zipfile.ZipFile(folder / f"{name}.keras") as file:
        config = file.read("config.json").decode()
    assert "sam_pod" not in config
    for key in ("lora_alpha", "quantization_config", "bounding_box_format"):
        assert key not in config
    model = keras.models.load_model(folder / f"{name}.keras")
    images = np.load(folder / "images.npy")
    assert_alike(np.asarray(model(images, training=False)), outputs)


def test_a_key_that_older_releases_lack_stays_where_it_says_something(tmp_path):
    images = keras.Input(SHAPE)
    model = keras.Model(images, L.Resizing(4, 4, antialias=True)(images))
    plain_keras.save(model, str(tmp_path / "model.keras"))
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        layers = json.loads(file.read("config.json"))["config"]["layers"]
    assert layers[1]["config"]["antialias"] is True


OWN = """
import keras

@keras.saving.register_keras_serializable("plain")
class OwnScale(keras.layers.Layer):
    def call(self, x):
        return 2 * x

@keras.saving.register_keras_serializable("plain")
def own_square(x):
    return x * x

def own_halve(x):
    return x / 2

class OwnShift(keras.layers.Layer):
    def call(self, x):
        return x + 1
"""


def test_the_users_code_that_a_file_needs_is_named_with_its_modules(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("plain_first", "plain_second"):
        (tmp_path / f"{module}.py").write_text(OWN)
    first, second = map(importlib.import_module, ("plain_first", "plain_second"))
    images = keras.Input(SHAPE)
    x = second.OwnScale()(L.Dense(4, activation=second.own_square)(images))
    model = keras.Model(images, batch_norm.FusedBatchNormalization()(x))
    own = plain_keras.own_code(
        keras.Sequential([model, first.OwnShift(), L.Activation(first.own_halve)]),
        vars(first),
    )
    names = ["OwnShift", "own_halve", "plain>OwnScale", "plain>own_square"]
    assert own == (names, ["plain_first", "plain_second"])
    assert plain_keras.own_code(wide_model(), {}) == ([], [])
    plain_keras.save(model, str(tmp_path / "model.keras"))
    path = tmp_path / "model.keras"
    registered = keras.saving.get_custom_objects()
    for name in names[2:]:
        monkeypatch.delitem(registered, name)
    with pytest.raises(TypeError, match=r"own_square|OwnScale"):
        keras.models.load_model(path)
    for module in plain_keras.own_code(model, {}).modules:
        monkeypatch.delitem(sys.modules, module)
        importlib.import_module(module)
    pixels = np.random.default_rng(1).random((2, *SHAPE), np.float32)
    np.testing.assert_array_equal(keras.models.load_model(path)(pixels), model(pixels))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.5.0", "3.15.1"])
def test_other_releases_of_keras_open_the_file(stored, tmp_path, version):
    """In a process whose path has that release and none of this package."""
    outputs = {name: stored(name)[1] for name in MODELS}
    folder, _ = stored("wide")
    uv = pathlib.Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--no-deps", f"keras=={version}"]
    made = subprocess.run(
        [*install, "--python", sys.executable, "--target", tmp_path / "keras"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"keras {version} cannot be installed here: {made.stderr[-200:]}")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "keras")}
    files = [folder / f"{name}.keras" for name in outputs]
    opened = subprocess.run(
        [sys.executable, "-c", _OPEN, folder / "images.npy", tmp_path, *files],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert opened.stdout == f"{version} False\n", opened.stderr[-2000:]
    for name, expected in outputs.items():
        assert_alike(np.load(tmp_path / f"{name}.npy"), expected)
