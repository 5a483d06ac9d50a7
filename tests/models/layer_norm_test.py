"""What a TPU runs of a layer normalization is Keras', and its gradients are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.machines import tracing
from sam_pod.models import layer_norm

KINDS = (layer_norm.LayerNormalization, keras.layers.LayerNormalization)
SHAPE = (6, 7, 16)


@pytest.fixture
def for_tpu(monkeypatch):
    monkeypatch.setattr(tracing, "is_for_a_tpu", lambda: not tf.executing_eagerly())


def results(kind, *, policy="float32", times=1, moved=0.0, **arguments):
    """Return outputs, gradients, and how that of x changes along a direction."""
    chance = np.random.default_rng(0)
    dtype = "float64" if policy == "float64" else "float32"
    x, towards, upstream = (
        tf.constant(chance.normal(size=SHAPE), dtype) for _ in range(3)
    )
    layer = kind(dtype=policy, **arguments)
    layer.build(SHAPE)
    for variable in layer.trainable_variables:
        variable.assign(chance.normal(size=variable.shape))
    weights = [v.value for v in layer.trainable_variables]

    @tf.function(autograph=False)
    def call(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.cast(layer(times * x), dtype)
                loss = tf.reduce_sum(tf.sin(y) * upstream)
            first = tape.gradient(loss, [x, *weights])
            along = tf.reduce_sum(first[0] * towards)
        return [y, *first, outer.gradient(along, x)]

    return [np.asarray(t) for t in call(x + moved * towards)]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"epsilon": 0.1},
        {"axis": 2},
        {"center": False},
        {"axis": 1},
        {"axis": [1, 2]},
    ],
    ids=str,
)
def test_what_a_tpu_runs_equals_keras(for_tpu, arguments):
    # Keras' second derivative is another (findings/moments_differentiated_twice.sh).
    ours, theirs = (results(kind, **arguments)[:-1] for kind in KINDS)
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-5, rtol=1e-4)


def test_its_second_derivative_is_how_its_gradient_changes(for_tpu):
    def at(moved):
        return results(KINDS[0], policy="float64", moved=moved)

    change = (at(1e-5)[1] - at(-1e-5)[1]) / 2e-5
    np.testing.assert_allclose(at(0.0)[-1], change, atol=1e-7)


def test_elsewhere_it_is_keras_to_the_bit():
    for mine, expected in zip(*map(results, KINDS), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_tpu_runs_it_another_way(for_tpu):
    first, second = (results(kind, times=30)[1] for kind in KINDS)
    assert not np.array_equal(first, second)


def test_in_bfloat16_it_is_as_near_float32_as_keras(for_tpu):
    exact = results(KINDS[1])
    ours, theirs = (
        [np.abs(a - b).max() for a, b in zip(found[:4], exact[:4], strict=True)]
        for found in (results(kind, policy="mixed_bfloat16") for kind in KINDS)
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert mine < 1.5 * other + 1e-6
