"""What is fed: the same to a first layer however a file scales, and said in a line."""

import functools
import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rules
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.input_range import decision
from sam_pod.models import front
from sam_pod.process import signals
from sam_pod.run import build
from tests import fixtures, runs
from tests.training import StopAfter, run

L = keras.layers


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return (folder, manifest)."""
    folder = tmp_path_factory.mktemp("data")
    fixtures.write_data(folder / "data", train=100, test=30)
    return folder, manifest_lib.read(str(folder / "data"))


def save(folder, *layers):
    keras.utils.set_random_seed(1)
    images = x = keras.Input((8, 8, 3))
    for layer in layers:
        x = layer(x)
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, activation="relu")(x))
    path = str(folder / "model.keras")
    keras.Model(images, L.Dense(4)(x)).save(path)
    return path


def recipe(folder, *layers, decisions=None, **keys):
    path = save(folder, *layers)
    config = runs.small_config(folder, **{"model.name": path, **keys})
    manifest = manifest_lib.read(config.data.dir)
    keras.utils.clear_session()
    return build.build_recipe(config, manifest, 5, decisions=decisions)


def seen(built):
    """Return what the first convolution sees, in evaluation and in training."""
    images = tf.constant(fixtures.batches(1, 16, (8, 8, 3))[0][0])
    draws = tf.random.stateless_uniform([16, built.augmentation.num_draws], [3, 4])
    found = []
    for key, fed in (
        (None, built.evaluation_images(images)),
        (tf.constant([0, 1]), built.training_images(images, draws)),
    ):
        (step,) = front.walk(built.network.model, fed, key=key).first
        found.append(step.images.numpy())
    return found


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("layers", "like"),
    [
        ([L.Rescaling(1 / 255)], "unit"),
        slow([L.Rescaling(1 / 127.5, offset=-1)], "symmetric"),
        slow([L.Rescaling(2, offset=-1)], "symmetric"),
        ([lambda x: (x + 1) * 127.5, L.Rescaling(1 / 255)], "unit"),
    ],
)
def test_the_first_layer_sees_the_same_however_the_file_scales(data, layers, like):
    """To the rounding of floats; so the first step is the same, and training is."""
    own = seen(recipe(data[0], *layers))
    plain = seen(recipe(data[0], **{"model.input_range": like}))
    for mine, expected in zip(own, plain, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=2e-6)
        assert expected.std() > 0.2


def test_each_range_by_its_name(data):
    pixels = fixtures.batches(1, 16, (8, 8, 3))[0][0].astype(np.float64)
    mean, std = data[1].mean, data[1].std
    for name, expected in {
        "unit": pixels / 255,
        "symmetric": pixels / 127.5 - 1,
        "bytes": pixels,
        "standardized": (pixels / 255 - mean) / std,
    }.items():
        built = recipe(data[0], L.Rescaling(1.0), **{"model.input_range": name})
        np.testing.assert_allclose(seen(built)[0], expected, atol=1e-4)
        images = built.evaluation_images(tf.cast(pixels, tf.uint8))
        unit = built.input_range.to_unit(images)
        np.testing.assert_allclose(unit, pixels / 255, atol=1e-6)
        factor, shift = built.input_range.of_bytes
        if name != "standardized":
            np.testing.assert_allclose(pixels * factor + shift, expected, atol=1e-9)
    own = recipe(data[0], **{"model.name": "resnet20", "data.standardize": True})
    assert own.input_range.name == "standardized"


def test_one_line_says_what_was_decided_and_a_doubt_is_a_warning(data, caplog):
    caplog.set_level(logging.INFO, "absl")
    recipe(data[0], L.Rescaling(1 / 255))
    line = r"is fed [0, 255] (`model.input_range` 'bytes'): its 'rescaling"
    assert sum(line in r.getMessage() for r in caplog.records) == 1
    caplog.clear()
    recipe(data[0], lambda x: x * 3)
    (record,) = (r for r in caplog.records if "is fed [0, 1]" in r.getMessage())
    assert record.levelno == logging.WARNING
    caplog.clear()
    recipe(data[0], lambda x: x * 3, **{"model.input_range": "unit"})
    assert "is fed" not in caplog.text


def test_contradictions_are_one_line(data):
    with pytest.raises(errors.UserError, match=r"standardize` is True, but .*'rescal"):
        recipe(data[0], L.Rescaling(1 / 255), **{"data.standardize": True})
    both = {"data.standardize": True, "model.input_range": "standardized"}
    assert (
        recipe(data[0], L.Rescaling(1 / 255), **both).input_range.name
        == both.popitem()[1]
    )
    for name, message in (
        ("bytes", r"`model\.input_range` is 'bytes' and `data\.standardize` True"),
        ("byte", r"'byte'.*Did you mean 'bytes'"),
    ):
        config = config_lib.defaults()
        config.data.standardize = True
        config.model.input_range = name
        rules.validate(config)
        with pytest.raises(errors.UserError, match=message):
            decision.check_names(config)


@pytest.mark.slow
def test_a_run_goes_on_with_what_it_decided(data, tmp_path):
    path = save(tmp_path, L.Rescaling(1 / 255))
    config = runs.small_config(tmp_path, num_epochs=1, **{"model.name": path})
    with pytest.raises(signals.Interrupted):
        run(config, tmp_path / "run", StopAfter(0))
    file = tmp_path / "run" / "decisions.json"
    assert json.loads(file.read_text())["model.input_range"] == "bytes"
    assert (
        recipe(
            data[0], L.Rescaling(1 / 255), decisions={"model.input_range": "symmetric"}
        ).input_range.name
        == "symmetric"
    )
    # A run of a version that decided nothing was fed as that version fed it.
    assert (
        recipe(data[0], L.Rescaling(1 / 255), decisions={}).input_range.name == "unit"
    )
    file.unlink()
    run(config, tmp_path / "run")
    assert json.loads(file.read_text())["model.input_range"] == "unit"
