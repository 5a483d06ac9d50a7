"""Variables whose paths are equal in Keras have names of their own here."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.export import folder as export
from sam_pod.export import keras_models
from sam_pod.models import network, table, variable_names
from sam_pod.process import signals
from sam_pod.run import trained
from tests import runs, training

SHAPE = (8, 8, 3)
L = keras.layers


def branch(name):
    images = keras.Input(SHAPE)
    x = L.BatchNormalization(name="bn")(L.Conv2D(3, 3, name="conv")(images))
    return keras.Model(images, L.GlobalAveragePooling2D()(x), name=name)


def two_branches():
    images = keras.Input(SHAPE)
    x = L.Concatenate()([branch("a")(images), branch("b")(images)])
    return keras.Model(images, L.Dense(4, name="conv")(x))


def two_blocks():
    x = images = keras.Input(SHAPE)
    for k in range(2):
        layers = [L.Conv2D(3, 3, padding="same", name="conv"), L.Dropout(0.2, name="d")]
        x = keras.Sequential(layers, name=f"block{k}")(x)
    return keras.Model(images, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


def called_twice():
    images = keras.Input(SHAPE)
    both, dense = branch("a"), L.Dense(4, name="d")
    outputs = [dense(both(images)), dense(both(1.0 - images)), dense(both(images))]
    return keras.Model(images, L.Average()(outputs))


def three_deep():
    def inner(name):
        images = keras.Input(SHAPE)
        parts = [branch("a")(images), branch("b")(images)]
        return keras.Model(images, L.Concatenate()(parts), name=name)

    images = keras.Input(SHAPE)
    middle = keras.Model(
        images, L.Add()([inner("left")(images), inner("right")(images)]), name="middle"
    )
    outer = keras.Input(SHAPE)
    return keras.Model(outer, L.Dense(4, name="top")(middle(outer)))


def wrapped():
    x = images = keras.Input(SHAPE)
    for name in ("t", "u"):
        x = L.TimeDistributed(L.Conv1D(3, 2, name="conv"), name=name)(x)
    return keras.Model(images, L.Dense(4)(L.Flatten()(x)))


def beside_its_own():
    """A layer `conv` outside of the sub-model that has one, too."""
    images = keras.Input(SHAPE)
    x = keras.Sequential([L.Conv2D(3, 3, name="conv")], name="block")(images)
    x = L.GlobalAveragePooling2D()(L.Conv2D(3, 3, name="conv")(x))
    return keras.Model(images, L.Dense(4, name="d")(x))


MODELS = [two_branches, two_blocks, called_twice, three_deep, wrapped, beside_its_own]


def some_images():
    return tf.constant(np.random.default_rng(0).uniform(size=(4, *SHAPE)), tf.float32)


@pytest.mark.parametrize("make", MODELS)
def test_each_variable_has_a_name_and_a_gradient(make, tmp_path):
    model = make()
    model.save(tmp_path / "m.keras")
    net = table.build(str(tmp_path / "m.keras"), SHAPE, 4)
    weights, stats = net.initial_weights(), net.initial_stats()
    assert len(weights) == len(model.trainable_variables)
    assert not weights.keys() & stats.keys()
    images = some_images()
    inputs = [tf.constant(w) for w in weights.values()]
    stats_in = [tf.constant(s) for s in stats.values()]
    np.testing.assert_allclose(
        net.apply(inputs, stats_in, images).logits, model(images), atol=1e-5
    )
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = net.apply(inputs, stats_in, images, key=tf.constant([0, 1]))
        loss = tf.reduce_sum(tf.sin(outputs.logits * 3.0))
    for name, gradient in zip(weights, tape.gradient(loss, inputs), strict=True):
        assert gradient is not None, name


def test_the_names_tell_where_a_variable_is():
    def names(make):
        return list(network.Network(make()).initial_weights())

    assert names(two_branches)[:2] == ["a/conv/kernel", "a/conv/bias"]
    assert "b/bn/gamma" in names(two_branches)
    # What is one of a kind is named as Keras does.
    assert "top/kernel" in names(three_deep)
    assert "middle/right/b/conv/kernel" in names(three_deep)
    assert names(beside_its_own)[:3:2] == ["block/conv/kernel", "conv/kernel"]


class Twins(keras.layers.Layer):
    """Two layers of one name side by side, which no path distinguishes."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.parts = [L.Dense(3, name="d"), L.Dense(3, name="d")]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def test_equal_names_at_one_place_are_numbered():
    images = keras.Input(SHAPE)
    model = keras.Model(images, Twins(name="twins")(images))
    assert variable_names.of(model, model.trainable_variables) == [
        "twins/d/kernel",
        "twins/d/bias",
        "twins/d/kernel_2",
        "twins/d/bias_2",
    ]


@pytest.mark.slow
def test_a_run_of_equal_names_is_stopped_continued_and_written_as_a_file(tmp_path):
    two_branches().save(tmp_path / "m.keras")
    small = {"model.name": str(tmp_path / "m.keras"), "num_epochs": 2}
    config = runs.small_config(
        tmp_path, **small, **{"early_stopping.restore_best_weights": False}
    )
    training.run(config, tmp_path / "whole")
    with pytest.raises(signals.Interrupted):
        training.run(config, tmp_path / "parts", training.StopAfter(2))
    training.run(config, tmp_path / "parts")
    runs.assert_equal_checkpoints(tmp_path / "whole", tmp_path / "parts")
    found = trained.read(str(tmp_path / "whole"), "latest")
    network_, values = found.recipe.network, found.checkpoint.values
    for name, old, new in zip(
        network_.initial_weights(),
        network_.initial_weights().values(),
        values.weights,
        strict=True,
    ):
        assert np.abs(old - new).max() > 0, name
    keras_models.write_keras_file(str(tmp_path / "o.keras"), found.recipe, values)
    images = some_images()
    expected = network_.apply(
        [tf.constant(w) for w in values.weights],
        [tf.constant(s) for s in values.stats],
        images,
    ).logits
    written = table.build(str(tmp_path / "o.keras"), SHAPE, 4)
    np.testing.assert_allclose(written.model(images), expected, atol=1e-6)


def all_of_them():
    """The outputs of all models together, each a sub-model; one has two branches."""
    images, makes = keras.Input(SHAPE), MODELS[1:]
    return keras.Model(images, L.Average()([make()(images) for make in makes]))


@pytest.mark.slow
def test_a_run_of_equal_names_is_exported(tmp_path):
    made = all_of_them()
    made.save(tmp_path / "m.keras")
    small = {"model.name": str(tmp_path / "m.keras"), "num_epochs": 1, "sam.rho": 0.0}
    training.run(runs.small_config(tmp_path, **small), tmp_path / "run")
    export.write(str(tmp_path / "run"), str(tmp_path / "out"))
    with np.load(tmp_path / "out" / "values.npz") as stored:
        count = sum(key.startswith("weights/") for key in stored)
    assert count == len(made.trainable_variables)
    assert (tmp_path / "out" / "model.keras").is_file()
