"""The fused layer against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.models import batch_norm


def pair(shape=(8, 6, 6, 5), **arguments):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) * 3 + 2).astype(np.float32)
    ours = batch_norm.FusedBatchNormalization(**arguments)
    theirs = keras.layers.BatchNormalization(**arguments)
    for layer in (ours, theirs):
        layer.build(x.shape)
    values = [rng.uniform(0.5, 1.5, v.shape) for v in theirs.variables]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs, tf.constant(x)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"momentum": 0.5, "epsilon": 0.1}, {"center": False}, {"scale": False}],
)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_equal_keras(arguments, training):
    ours, theirs, x = pair(**arguments)
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(tf.sin(y))
        weights = [v.value for v in layer.trainable_variables]
        results.append([y, *tape.gradient(loss, [x, *weights]), *layer.get_weights()])
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-5, rtol=1e-5)


def test_statistics_over_few_values_are_not_bessel_corrected():
    ours, theirs, x = pair(shape=(2, 1, 1, 3))
    ours(x, training=True)
    theirs(x, training=True)
    for mine, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5)


def test_bfloat16_keeps_float32_statistics():
    ours, _, x = pair(dtype="mixed_bfloat16")
    assert ours(x, training=True).dtype == tf.bfloat16
    reference, _, _ = pair()
    reference(x, training=True)
    for mine, expected in zip(ours.get_weights(), reference.get_weights(), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, expected, rtol=1e-2)


def test_a_frozen_layer_infers():
    ours, theirs, x = pair()
    ours.trainable = theirs.trainable = False
    before = ours.get_weights()
    np.testing.assert_allclose(
        ours(x, training=True), theirs(x, training=True), atol=1e-5
    )
    for mine, old in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, old)


def test_two_dimensional_inputs_go_through_keras():
    ours, theirs, x = pair(shape=(16, 5))
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True))


KERAS, OURS = keras.layers.BatchNormalization, batch_norm.FusedBatchNormalization
