"""RMSProp, LARS and LAMB against Keras, and against the papers in plain NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import rules
from sam_pod.step import optimizers

SHAPES = [(3, 4), (4,), (2, 2, 3, 1)]
STEPS = 10


def configured(name, **values):
    config = config_lib.defaults()
    config.optimizer.update({"name": name, **values})
    rules.validate(config)
    return optimizers.build(config)


def drawn(shapes=SHAPES):
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=s) for s in shapes]
    return weights, [[rng.normal(size=s) for s in shapes] for _ in range(STEPS)]


def rate(step):
    """Return a learning rate that changes on the way, as a schedule changes it."""
    return 0.05 / (1 + step)


def trajectory(optimizer, weights, gradients):
    weights = [tf.constant(w) for w in weights]
    slots = {n: [tf.zeros_like(w) for w in weights] for n in optimizer.slot_names}
    for step, gradient in enumerate(gradients):
        weights, slots = optimizer.update(
            [tf.constant(g) for g in gradient],
            slots,
            weights,
            tf.constant(step, tf.int64),
            tf.constant(rate(step), tf.float64),
        )
        assert set(slots) == set(optimizer.slot_names)
    return weights


def of_keras(theirs, weights, gradients):
    variables = [keras.Variable(w, dtype="float64") for w in weights]
    theirs.build(variables)
    for step, gradient in enumerate(gradients):
        theirs.learning_rate.assign(rate(step))
        theirs.apply([tf.constant(g) for g in gradient], variables)
    return [v.numpy() for v in variables]


def assert_close(found, expected, atol=1e-12):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=atol)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_is_keras(momentum):
    values = {"momentum": momentum, "rmsprop_decay": 0.8, "epsilon": 1e-3}
    theirs = keras.optimizers.RMSprop(rho=0.8, momentum=momentum, epsilon=1e-3)
    weights, gradients = drawn()
    found = trajectory(configured("rmsprop", **values), weights, gradients)
    assert_close(found, of_keras(theirs, weights, gradients), 1e-6)  # float32 rates.


def test_rmsprop_may_begin_at_a_mean_square_of_one():
    """TensorFlow 1's, as its documentation writes it down."""
    weights, gradients = drawn()
    optimizer = configured("rmsprop", rmsprop_start=1.0, epsilon=1e-3)
    expected = [w.copy() for w in weights]
    squares = [np.ones_like(w) for w in weights]
    momenta = [np.zeros_like(w) for w in weights]
    for step, gradient in enumerate(gradients):
        for w, s, m, g in zip(expected, squares, momenta, gradient, strict=True):
            s[...] = 0.9 * s + 0.1 * g**2
            m[...] = 0.9 * m + rate(step) * g / np.sqrt(s + 1e-3)
            w -= m
    assert_close(trajectory(optimizer, weights, gradients), expected)


def test_lars_is_algorithm_1_of_its_paper():
    weights, gradients = drawn()
    optimizer = configured("lars", weight_decay=0.1, trust=0.02, momentum=0.8)
    assert not optimizer.decays_in_loss
    expected = [w.copy() for w in weights]
    velocities = [np.zeros_like(w) for w in weights]
    for step, gradient in enumerate(gradients):
        for w, v, g in zip(expected, velocities, gradient, strict=True):
            local, decay = 1.0, 0.0
            if w.ndim > 1:
                size, decay = np.linalg.norm(w), 0.1
                local = 0.02 * size / (np.linalg.norm(g) + decay * size)
            v[...] = 0.8 * v + rate(step) * local * (g + decay * w)
            w -= v
    assert_close(trajectory(optimizer, weights, gradients), expected)


def test_lamb_without_decay_is_keras():
    kernels = [SHAPES[0], SHAPES[2]]  # Keras' gives biases a ratio, too.
    weights, gradients = drawn(kernels)
    theirs = keras.optimizers.Lamb(beta_1=0.8, beta_2=0.99, epsilon=1e-6)
    optimizer = configured("lamb", beta_1=0.8, beta_2=0.99, epsilon=1e-6)
    found = trajectory(optimizer, weights, gradients)
    assert_close(found, of_keras(theirs, weights, gradients), 1e-6)


def test_lamb_is_algorithm_2_of_its_paper():
    weights, gradients = drawn()
    optimizer = configured("lamb", weight_decay=0.1)
    assert not optimizer.decays_in_loss
    expected = [w.copy() for w in weights]
    firsts, seconds = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step, gradient in enumerate(gradients):
        for w, m, v, g in zip(expected, firsts, seconds, gradient, strict=True):
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.999 * v + 0.001 * g**2
            first, second = (1 - b ** (step + 1) for b in (0.9, 0.999))
            taken = m / first / (np.sqrt(v / second) + 1e-7)
            if w.ndim > 1:
                taken += 0.1 * w
                taken *= np.linalg.norm(w) / np.linalg.norm(taken)
            w -= rate(step) * taken
    assert_close(trajectory(optimizer, weights, gradients), expected, 1e-10)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_a_norm_of_zero_makes_no_nan(name):
    optimizer = configured(name)
    zeros = [np.zeros(s) for s in SHAPES]
    _, gradients = drawn()
    for weights, given in ((zeros, gradients), (drawn()[0], [zeros] * 3)):
        for w in trajectory(optimizer, weights, given):
            assert np.isfinite(w).all()


@pytest.mark.parametrize(
    "name, values, reason",
    [
        ("lars", {"decays_in": "loss"}, "'lars', whose decay is part of the step"),
        ("lamb", {"decays_in": "decoupled"}, "of each kernel: take 'auto'"),
        ("sgd", {"trust": 0.1}, "`optimizer.name` 'lars' reads, and not 'sgd'"),
        ("adam", {"rmsprop_start": 1.0}, "'rmsprop' reads, and not 'adam'; leave"),
        ("lars", {"trust": 0.0}, "must be above 0"),
    ],
)
def test_what_does_not_go_together_is_refused(name, values, reason):
    with pytest.raises(errors.UserError, match=reason):
        configured(name, **values)
