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
