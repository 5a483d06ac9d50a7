"""A step with gates: one gate in both passes, the true gradient in the first."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data import augment
from sam_pod.models import gates, network
from sam_pod.step import optimizers, passes
from tests import fixtures

RHO, RATE = 0.3, 0.05


def small_network():
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 3))
    x = keras.layers.Dense(5, use_bias=False)(keras.layers.Flatten()(images))
    return network.Network(keras.Model(images, gates.ShakeDrop(0.5)(x)))


def shaken(step, size):
    """Return the forward and the backward gate of each row of a global batch."""
    key = passes.random_key(0, 5, tf.constant(step))
    u = augment.draws(key, size).numpy()
    forward = np.where(u[:, 0] < 0.5, 1, 2 * u[:, 1] - 1)
    return forward, np.where(u[:, 0] < 0.5, 1, u[:, 2])


def gradient(weights, x, y, forward, backward):
    logits = forward[:, None] * (x @ weights)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return x.T @ (backward[:, None] * p) / len(y)


@functools.cache
def trained(steps, count=1, **more):
    """Return the weights after steps of 8 examples."""
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    recipe = fixtures.small_recipe(
        small_network(), optimizer=optimizers.sgd(0.0, False), **{"rho": RHO, **more}
    )
    state, rows = fixtures.train(
        fixtures.mirrored(count) if count > 1 else one,
        recipe,
        fixtures.batches(steps, 8),
    )
    assert np.isfinite(rows).all()
    return state.weights[0].numpy()


@pytest.mark.parametrize("rho", [RHO, 0.0])
def test_two_steps_are_those_derived_by_hand(rho):
    (weights,) = small_network().initial_weights().values()
    weights = np.float64(weights)
    for step, (images, y) in enumerate(fixtures.batches(2, 8)):
        x = images.reshape(8, -1) / 255
        forward, backward = shaken(step, 8)
        at = weights
        if rho:
            clean = gradient(weights, x, y, forward, forward)
            at = weights + rho * clean / np.linalg.norm(clean)
        weights = weights - RATE * gradient(at, x, y, forward, backward)
    np.testing.assert_allclose(trained(2, rho=rho), weights, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"count": 2}),
        ({}, {"accumulate_steps": 4}),
        pytest.param(
            {"sync": "replica", "count": 2},
            {"micro_batches": 2, "accumulate_steps": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_row_has_its_gate_wherever_it_is_computed(one, other):
    np.testing.assert_allclose(trained(1, **one), trained(1, **other), atol=1e-6)
