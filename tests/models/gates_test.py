"""ShakeDrop and Shake-Shake against the papers' formulas in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.export import plain_keras
from sam_pod.models import gates, network

CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(6, 2, 3, 4)).astype(np.float32)
Y = CHANCE.normal(size=(6, 2, 3, 4)).astype(np.float32)
UPSTREAM = CHANCE.normal(size=(6, 2, 3, 4)).astype(np.float32)


def run(layer, inputs, uniform, is_true):
    """Return what a layer computes of inputs in training, and their gradients."""
    inputs = [tf.constant(x) for x in inputs]
    drawn = gates.Drawn(tf.constant(uniform, tf.float32), is_true)
    with tf.GradientTape() as tape, gates.given([layer], drawn):
        tape.watch(inputs)
        output = layer(inputs if len(inputs) > 1 else inputs[0], training=True)
        total = tf.reduce_sum(output * UPSTREAM)
    return output, tape.gradient(total, inputs)


def column(uniform, i):
    return uniform[:, i].reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("is_true", [True, False])
def test_shake_drop_is_equation_6(is_true):
    uniform = CHANCE.random((6, 3)).astype(np.float32)
    uniform[:2, 0] = 0.1, 0.9
    output, (gradient,) = run(gates.ShakeDrop(0.6), [X], uniform, is_true)
    b = (column(uniform, 0) < 0.6).astype(float)
    alpha, beta = 2 * column(uniform, 1) - 1, column(uniform, 2)
    forward, backward = b + alpha - b * alpha, b + beta - b * beta
    np.testing.assert_allclose(output, X * forward, rtol=1e-5)
    gate = forward if is_true else backward
    np.testing.assert_allclose(gradient, UPSTREAM * gate, rtol=1e-5)


@pytest.mark.parametrize("is_true", [True, False])
def test_shake_shake_mixes_branches_by_one_number_and_gradients_by_another(is_true):
    uniform = CHANCE.random((6, 2)).astype(np.float32)
    output, found = run(gates.ShakeShake(), [X, Y], uniform, is_true)
    alpha, beta = column(uniform, 0), column(uniform, 0 if is_true else 1)
    np.testing.assert_allclose(
        output, alpha * X + (1 - alpha) * Y, rtol=1e-4, atol=1e-6
    )
    for mine, expected in zip(found, (beta, 1 - beta), strict=True):
        np.testing.assert_allclose(mine, UPSTREAM * expected, rtol=1e-5)


def test_evaluation_takes_the_expectation_of_what_training_computes():
    uniform = np.random.default_rng(1).random((20_000, 3)).astype(np.float32)
    ones = np.ones((20_000, 1), np.float32)
    for layer, inputs in (
        (gates.ShakeDrop(0.7), [ones]),
        (gates.ShakeShake(), [ones, 3 * ones]),
    ):
        drawn = gates.Drawn(tf.constant(uniform[:, : layer.draws]), True)
        x = inputs if len(inputs) > 1 else inputs[0]
        with gates.given([layer], drawn):
            trained = np.mean(layer(x, training=True))
        np.testing.assert_allclose(
            np.mean(layer(x, training=False)), trained, atol=0.02
        )


def test_a_gate_alone_has_no_random_numbers_and_says_so():
    with pytest.raises(ValueError, match="trains only as part of a sam_pod Network"):
        gates.ShakeDrop(0.5)(X, training=True)


def two_gates():
    images = keras.Input((2, 3, 4))
    one, two = (gates.ShakeDrop(0.5)(images) for _ in range(2))
    return network.Network(keras.Model(images, keras.layers.Concatenate()([one, two])))


def test_each_gate_of_a_network_has_its_own_numbers_and_a_call_may_draw_them():
    net = two_gates()
    assert (net.num_gates, net.draws_by_batch) == (6, False)
    ones = tf.ones([500, 2, 3, 4])

    def call(key):
        return net.apply([], [], ones, key=tf.constant(key)).logits.numpy()

    first = call([0, 1])
    np.testing.assert_array_equal(first, call([0, 1]))
    assert np.abs(first - call([0, 2])).max() > 0.1
    one, two = first[..., 0], first[..., -1]
    assert 0.4 < ((one == 1) == (two == 1)).mean() < 0.6
    np.testing.assert_array_equal(one, np.broadcast_to(one[:, :1, :1], one.shape))
    np.testing.assert_allclose(net.apply([], [], ones).logits, 0.5)


def test_exported_gates_are_layers_of_keras_that_take_the_expectation():
    images = keras.Input((2, 3, 4))
    model = keras.Model(
        images, gates.ShakeShake()([gates.ShakeDrop(0.25)(images), images])
    )
    plain = plain_keras.equivalent(model)
    kinds = [type(layer) for layer in plain.layers[1:]]
    assert kinds == [keras.layers.Rescaling, keras.layers.Average]
    for found in (plain(X, training=True), model(X, training=False)):
        np.testing.assert_allclose(found, X * 0.625, rtol=1e-6)
