"""What the first layers see is looked at on the run's own rows, and moves nothing."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data import augment
from sam_pod.data.augment import ranges
from sam_pod.input_range import first_layer
from sam_pod.models import network
from tests import fixtures

L = keras.layers


def recipe(*layers, fed="unit"):
    keras.utils.set_random_seed(3)
    images = x = keras.Input((6, 6, 3))
    for layer in layers:
        x = layer(x)
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, name="first")(x))
    net = network.Network(keras.Model(images, L.Dense(5)(x)))
    found = ranges.Range(fed)
    return fixtures.small_recipe(net, input_range=found)


def told(caplog, *layers, fed="unit"):
    built = recipe(*layers, fed=fed)
    images = tf.constant(fixtures.batches(1, 16)[0][0])
    caplog.clear()
    first_layer.check(built, images, built.evaluation_images(images), "m.keras")
    return caplog.text


@pytest.mark.parametrize(
    ("words", "layers", "fed"),
    [
        ("they hardly vary", [L.Rescaling(1 / 255)], "unit"),
        ("they are far too large", [], "bytes"),
        ("training sees others", [L.RandomBrightness(0.03)], "unit"),
        ("not all finite", [lambda x: keras.ops.log(x - 300)], "bytes"),
    ],
)
def test_a_warning_has_the_figures(words, layers, fed, caplog):
    caplog.set_level(logging.INFO, "absl")
    text = told(caplog, *layers, fed=fed)
    assert words in text
    assert "its layer 'first' sees, in training, values of mean" in text
    assert len(caplog.records) == 1


def test_the_figures_are_numpys(caplog):
    text = told(caplog, fed="bytes")
    pixels = fixtures.batches(1, 16)[0][0].astype(np.float64)
    figures = f"mean {pixels.mean():.3g}, deviation {pixels.std():.3g}, from 0 to 255"
    assert text.count(figures) == 2


@pytest.mark.parametrize(
    ("layers", "fed"),
    [
        ([], "unit"),
        ([], "symmetric"),
        ([L.Rescaling(1 / 255)], "bytes"),
        ([L.RandomFlip(), L.RandomContrast(0.2)], "unit"),
        ([L.BatchNormalization()], "bytes"),
    ],
)
def test_what_can_be_learned_from_is_not_spoken_of(layers, fed, caplog):
    assert told(caplog, *layers, fed=fed) == ""


def test_nothing_random_moves(caplog):
    built = recipe(L.RandomBrightness(0.5), L.Dropout(0.5))
    variables = built.network.model.variables
    before = [v.numpy() for v in variables]
    tf.random.set_seed(5)
    expected = tf.random.uniform([2]).numpy()
    tf.random.set_seed(5)
    images = tf.constant(fixtures.batches(1, 16)[0][0])
    first_layer.check(built, images, augment.to_float(images), "m.keras")
    np.testing.assert_array_equal(tf.random.uniform([2]), expected)
    for old, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
