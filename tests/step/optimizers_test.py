"""Each update rule against Keras' optimizer of that name, step by step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.step import optimizers

SHAPES = [(3, 4), (4,), (2, 2, 3, 1)]
CASES = {
    "sgd plain": (optimizers.sgd(0.0, False), keras.optimizers.SGD, {}),
    "sgd momentum": (
        optimizers.sgd(0.9, False),
        keras.optimizers.SGD,
        {"momentum": 0.9},
    ),
    "sgd nesterov": (
        optimizers.sgd(0.9, True),
        keras.optimizers.SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    "adam": (optimizers.adam(), keras.optimizers.Adam, {}),
    "adam other": (
        optimizers.adam(0.8, 0.99, 1e-4),
        keras.optimizers.Adam,
        {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-4},
    ),
    "adamw": (
        optimizers.adam(decoupled_weight_decay=0.1),
        keras.optimizers.AdamW,
        {"weight_decay": 0.1},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_keras_over_20_steps(case):
    ours, keras_class, arguments = CASES[case]
    rng = np.random.default_rng(0)
    weights = [tf.constant(rng.normal(size=s), tf.float32) for s in SHAPES]
    slots = {n: [tf.zeros_like(w) for w in weights] for n in ours.slot_names}
    variables = [keras.Variable(w) for w in weights]
    theirs = keras_class(learning_rate=0.05, **arguments)
    theirs.build(variables)
    if "weight_decay" in arguments:  # We spare biases and scales, and test so.
        theirs._variables_without_weight_decay = None
        theirs.exclude_from_weight_decay(
            var_list=[v for v in variables if len(v.shape) < 2]
        )
    for step in range(20):
        # The rate changes on the way, as a schedule changes it.
        rate = 0.05 / (1 + step)
        theirs.learning_rate.assign(rate)
        gradient = [tf.constant(rng.normal(size=s), tf.float32) for s in SHAPES]
        weights, slots = ours.update(
            gradient, slots, weights, tf.constant(step, tf.int64), tf.constant(rate)
        )
        theirs.apply(gradient, variables)
        for ours_w, theirs_w in zip(weights, variables, strict=True):
            np.testing.assert_allclose(ours_w, theirs_w.numpy(), atol=2e-6)


def test_l2_penalty_is_of_kernels_only():
    weights = [tf.constant([[1.0, 2.0]]), tf.constant([5.0])]
    np.testing.assert_allclose(optimizers.l2_penalty(weights, 0.2), 0.5 * 0.2 * 5)


def test_l2_penalty_without_kernels_is_zero():
    assert optimizers.l2_penalty([tf.constant([5.0])], 0.2) == 0.0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_build_reads_the_config(name):
    config = config_lib.defaults()
    config.optimizer.name = name
    optimizer = optimizers.build(config)
    assert optimizer.decays_in_loss == (name != "adamw")
    assert len(optimizer.slot_names) == (1 if name == "sgd" else 2)


def test_unknown_name_is_refused_with_the_nearest():
    config = config_lib.defaults()
    config.optimizer.name = "adan"
    with pytest.raises(errors.UserError, match=r"optimizer\.name.*'adan'.*'adam'\?"):
        optimizers.build(config)


def rates(steps=8):
    """Return a learning rate that changes on the way, as a schedule changes it."""
    return [0.05 / (1 + step) for step in range(steps)]


def trajectory(optimizer, gradients, weights):
    """Return the weights after one step for each list of gradients."""
    weights = [tf.constant(w) for w in weights]
    slots = {n: [tf.zeros_like(w) for w in weights] for n in optimizer.slot_names}
    for step, (rate, gradient) in enumerate(zip(rates(), gradients, strict=True)):
        rate = tf.constant(rate, tf.float64)
        step = tf.constant(step, tf.int64)
        gradient = [tf.constant(g) for g in gradient]
        weights, slots = optimizer.update(gradient, slots, weights, step, rate)
    return weights


def drawn():
    """Return weights, and 8 gradients of them, in float64."""
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=s) for s in SHAPES]
    return weights, [[rng.normal(size=s) for s in SHAPES] for _ in rates()]


def torch_sgd(weights, gradients, *, nesterov, decay=0.0):
    """Return what PyTorch's SGD makes of it, as its documentation writes it down."""
    buffers = [np.zeros_like(w) for w in weights]
    for rate, gradient in zip(rates(), gradients, strict=True):
        taken = [g + decay * w for g, w in zip(gradient, weights, strict=True)]
        buffers = [0.9 * b + g for b, g in zip(buffers, taken, strict=True)]
        if nesterov:
            taken = [g + 0.9 * b for g, b in zip(taken, buffers, strict=True)]
        else:
            taken = buffers
        weights = [w - rate * g for w, g in zip(weights, taken, strict=True)]
    return weights


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_rate_outside_of_the_velocity_is_pytorchs_momentum(nesterov):
    weights, gradients = drawn()
    ours = trajectory(
        optimizers.sgd(0.9, nesterov, rate_in_velocity=False), gradients, weights
    )
    expected = torch_sgd(weights, gradients, nesterov=nesterov)
    inside = trajectory(optimizers.sgd(0.9, nesterov), gradients, weights)
    for mine, w, other in zip(ours, expected, inside, strict=True):
        np.testing.assert_allclose(mine, w, atol=1e-12)
        assert np.abs(other - w).max() > 1e-3  # The rate changes, so they differ.


def test_both_conventions_are_one_while_the_rate_stays():
    weights, gradients = drawn()
    found = []
    for inside in (True, False):
        optimizer = optimizers.sgd(0.9, True, rate_in_velocity=inside)
        now = [tf.constant(w) for w in weights]
        slots = {"velocity": [tf.zeros_like(w) for w in now]}
        for gradient in gradients:
            now, slots = optimizer.update(
                gradient, slots, now, None, tf.constant(0.1, tf.float64)
            )
        found.append(now)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def configured(**values):
    config = config_lib.defaults()
    for key, value in values.items():
        config.optimizer[key] = value
    return optimizers.build(config)


def test_decay_in_the_gradient_is_pytorchs_of_all_weights():
    optimizer = configured(
        weight_decay=0.3, decays_in="gradient", rate_in_velocity=False
    )
    assert not optimizer.decays_in_loss
    weights, gradients = drawn()
    nesterov = config_lib.defaults().optimizer.nesterov
    expected = torch_sgd(weights, gradients, nesterov=nesterov, decay=0.3)
    for mine, w in zip(
        trajectory(optimizer, gradients, weights), expected, strict=True
    ):
        np.testing.assert_allclose(mine, w, atol=1e-12)


def test_decoupled_decay_shrinks_kernels_before_the_step():
    optimizer = configured(momentum=0.0, weight_decay=0.3, decays_in="decoupled")
    assert not optimizer.decays_in_loss
    weights, gradients = drawn()
    ours = trajectory(optimizer, gradients, weights)
    for rate, gradient in zip(rates(), gradients, strict=True):
        weights = [
            w * (1 - rate * 0.3 * (w.ndim > 1)) - rate * g
            for w, g in zip(weights, gradient, strict=True)
        ]
    for mine, w in zip(ours, weights, strict=True):
        np.testing.assert_allclose(mine, w, atol=1e-12)


def test_adam_with_decoupled_decay_is_adamw():
    values = {"weight_decay": 0.3, "name": "adam", "decays_in": "decoupled"}
    weights, gradients = drawn()
    ours = trajectory(configured(**values), gradients, weights)
    adamw = trajectory(configured(name="adamw", weight_decay=0.3), gradients, weights)
    for a, b in zip(ours, adamw, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("place", ["auto", "loss", "loss_all"])
def test_decay_in_the_loss_leaves_the_update_alone(place):
    optimizer = configured(weight_decay=0.3, decays_in=place)
    assert optimizer.decays_in_loss
    weights, gradients = drawn()
    plain = trajectory(configured(), gradients, weights)
    for a, b in zip(trajectory(optimizer, gradients, weights), plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_l2_penalty_over_all():
    weights = [tf.constant([[1.0, 2.0]]), tf.constant([5.0])]
    found = optimizers.l2_penalty(weights, 0.2, over_all=True)
    np.testing.assert_allclose(found, 0.5 * 0.2 * 30)


@pytest.mark.parametrize("place", ["loss", "loss_all", "gradient"])
def test_adamw_decays_nowhere_else(place):
    with pytest.raises(
        errors.UserError,
        match=f"^`optimizer.decays_in` is '{place}' and `optimizer.name` 'adamw', .*"
        "take 'adam'",
    ):
        configured(name="adamw", decays_in=place)
    configured(name="adamw", decays_in="decoupled")


def test_an_unknown_place_of_decay_names_the_nearest():
    with pytest.raises(
        errors.UserError, match=r"`optimizer\.decays_in` is 'los'.*Did you mean 'loss'"
    ):
        configured(decays_in="los")
