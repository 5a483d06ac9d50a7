"""The user's own classes: imported where they are named, and refused where not."""

import importlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import model_file, own_code, table
from tests.models.own_layers import SHAPE, as_new, forget, save

__all__ = ["forget"]  # A fixture of every test here.

L = keras.layers
SOURCE = """
import keras

@keras.saving.register_keras_serializable("{package}")
class {name}(keras.layers.Layer):
    def __init__(self, factor=2.0, **arguments):
        super().__init__(**arguments)
        self.factor = factor
    def call(self, x):
        return x * self.factor
    def get_config(self):
        return {{**super().get_config(), "factor": self.factor}}
"""


def write(folder, module, name, package="mine", registered=True):
    text = SOURCE.format(name=name, package=package)
    if not registered:
        text = text.replace("@keras.saving", "# @keras.saving")
    (folder / f"{module}.py").write_text(text)
    return str(folder / f"{module}.py")


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("by", ["path", "name", "package"])
def test_a_class_of_ones_own_is_let_in_by_its_module_alone(
    tmp_path, monkeypatch, registered, by
):
    folder = tmp_path
    if by == "package":
        folder = tmp_path / "own_pack"
        folder.mkdir()
        (folder / "__init__.py").write_text(
            "from own_pack.own_layers import OwnLayer\n"
        )
    path = write(folder, "own_layers", "OwnLayer", registered=registered)
    trusted = {"path": path, "name": "own_layers", "package": "own_pack"}[by]
    if by != "path":
        monkeypatch.syspath_prepend(str(tmp_path))
    made = own_code.load(trusted)["OwnLayer"](3.0)
    model = save(tmp_path, made)
    as_new()
    with pytest.raises(
        errors.UserError, match=r"needs the class '.*OwnLayer'.*model\.trusted_modules"
    ) as raised:
        table.build(model, SHAPE, 5)
    assert "\n" not in str(raised.value)
    net = table.build(model, SHAPE, 5, trusted_modules=trusted)
    assert type(net.model.layers[1]).__name__ == "OwnLayer"
    assert net.model.layers[1].factor == 3.0


def test_a_lambda_is_let_in_by_its_word_alone(tmp_path):
    model = save(tmp_path, L.Lambda(lambda x: x * 2.0))
    for trusted in ("", write(tmp_path, "own_other", "OwnOther")):
        with pytest.raises(
            errors.UserError, match=r"has a Lambda layer.*`model\.trusted_modules`"
        ):
            table.build(model, SHAPE, 5, trusted_modules=trusted)
    net = table.build(model, SHAPE, 5, trusted_modules="lambda")
    assert isinstance(net.model.layers[1], L.Lambda)


def test_a_module_beside_it_is_found_and_one_that_is_missing_is_named(tmp_path):
    write(tmp_path, "own_beside", "OwnBeside")
    (tmp_path / "own_user.py").write_text("from own_beside import OwnBeside\n")
    assert own_code.load(str(tmp_path / "own_user.py")) == {}
    assert "own_beside" in sys.modules
    (tmp_path / "own_bad.py").write_text("import own_gone\n")
    for name, message in (
        (
            str(tmp_path / "own_bad.py"),
            "cannot be imported .*No module named 'own_gone'",
        ),
        (str(tmp_path / "none.py"), "which is not there"),
        (str(tmp_path), r"which is no Python file \(\.py\)"),
        ("own_gone", "which Python does not find"),
        ("own_gone.inner", "which Python does not find"),
        ("~nobody-of-that-name/x.py", "has no user"),
    ):
        with pytest.raises(errors.UserError, match=message) as raised:
            own_code.load(f"keras, {name}")
        assert name in str(raised.value)


def test_two_files_of_one_module_name_are_told_apart(tmp_path):
    (tmp_path / "b").mkdir()
    first = write(tmp_path, "own_same", "OwnSame")
    second = write(tmp_path / "b", "own_same", "OwnSame")
    own_code.load(first)
    own_code.load(first)
    with pytest.raises(errors.UserError, match="another module 'own_same'"):
        own_code.load(second)


def test_the_digest_is_of_the_source_wherever_it_is(tmp_path, monkeypatch):
    assert own_code.digest("") == ""
    path = write(tmp_path, "own_text", "OwnText")
    first = own_code.digest(path)
    (tmp_path / "b").mkdir()
    assert own_code.digest(write(tmp_path / "b", "own_text", "OwnText")) == first
    monkeypatch.syspath_prepend(str(tmp_path))
    assert own_code.digest("own_text") == first
    assert own_code.digest("own_text,lambda") != first
    write(tmp_path, "own_text", "OwnText", package="else")
    assert own_code.digest(path) != first
    package = tmp_path / "own_whole"
    package.mkdir()
    (package / "__init__.py").write_text("")
    before = own_code.digest("own_whole")
    (package / "part.py").write_text("x = 1\n")
    assert own_code.digest("own_whole") != before


def test_code_in_an_old_file_is_no_way_around(tmp_path):
    model = save(tmp_path, L.Lambda(lambda x: x * 2.0), "m.h5")
    assert model_file.read(model).kind == model_file.H5
    with pytest.raises(errors.UserError, match="has a Lambda layer"):
        table.build(model, SHAPE, 5)


WHOLE = """
import keras

@keras.saving.register_keras_serializable("mine")
class OwnWhole(keras.Model):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.last = keras.layers.Dense(5)
    def call(self, x):
        return self.last(self.pool(x))
"""


def test_a_model_of_an_own_class_is_refused_with_the_way_that_works(
    tmp_path, monkeypatch
):
    (tmp_path / "own_whole.py").write_text(WHOLE)
    monkeypatch.syspath_prepend(tmp_path)
    path, module = str(tmp_path / "m.keras"), str(tmp_path / "own_whole.py")
    model = importlib.import_module("own_whole").OwnWhole()
    images = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    expected = model(images)  # It is built, and still shows no ends.
    model.save(path)
    as_new()
    with pytest.raises(errors.UserError, match="OwnWhole is, shows none") as raised:
        table.build(path, SHAPE, 5, trusted_modules=module)
    way = str(raised.value).split("around it, ")[1].rstrip(".")
    exec(way.replace("x.keras", path), {"keras": keras, "model": model})
    as_new()
    net = table.build(path, SHAPE, 5, trusted_modules=module)
    weights = list(map(tf.constant, net.initial_weights().values()))
    found = net.apply(weights, [], tf.constant(images)).logits
    np.testing.assert_allclose(found, expected, rtol=1e-5)


TRAINS = """
import keras

@keras.saving.register_keras_serializable("mine")
class OwnTrains(keras.Model):
    def {method}(self, *arguments, **others):
        raise AssertionError
"""


@pytest.mark.parametrize("method", ["train_step", "compute_loss", "summary"])
def test_a_models_own_way_to_train_is_said_not_to_be_used(method, tmp_path, caplog):
    path = tmp_path / "own_trains.py"
    path.write_text(TRAINS.format(method=method))
    images = keras.Input(SHAPE)
    x = keras.layers.Dense(5)(keras.layers.Flatten()(images))
    own_code.load(str(path))["OwnTrains"](images, x).save(tmp_path / "m.keras")
    as_new()
    table.build(str(tmp_path / "m.keras"), SHAPE, 5, trusted_modules=str(path))
    said = f"`{method}` of its OwnTrains is not called"
    assert (said in caplog.text) == (method != "summary")
