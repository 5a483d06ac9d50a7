"""Directions of slices: filters as long as the weights', and nothing else moves."""

import keras
import numpy as np

from sam_pod.instruments import landscape
from sam_pod.models import network, vit


def directions(model):
    """Return by name each weight and its part of a direction."""
    net = network.Network(model)
    names, weights = zip(*net.initial_weights().items(), strict=True)
    weights = [w + 0.5 for w in weights]
    drawn = landscape.direction(weights, net.roles(), seed=3)
    return dict(zip(names, zip(weights, drawn, strict=True), strict=True))


def lengths(x):
    return np.sqrt(np.square(x).sum(tuple(range(x.ndim - 1))))


def test_filters_of_kernels_are_as_long_as_the_weights():
    images = keras.Input((8, 8, 3))
    x = keras.layers.PReLU(shared_axes=(1, 2))(keras.layers.Conv2D(5, 3)(images))
    x = keras.layers.BatchNormalization()(keras.layers.Flatten()(x))
    model = keras.Model(images, keras.layers.Dense(4)(x))
    moves = set()
    for name, (weight, along) in directions(model).items():
        if along.any():
            moves.add(name.partition("/")[2])
            np.testing.assert_allclose(lengths(along), lengths(weight), rtol=1e-5)
    assert moves == {"kernel"}  # Slopes have three axes.


def test_of_a_transformer_no_bias_of_a_head_and_no_position_moves():
    model = vit.build((8, 8, 3), 4, "float32", width=8, heads=2, patch=4, depth=1)
    found = directions(model)
    still = {name for name, (_, along) in found.items() if not along.any()}
    assert {name for name in found if not name.endswith("kernel")} == still
    assert any(found[name][0].ndim > 1 for name in still)
