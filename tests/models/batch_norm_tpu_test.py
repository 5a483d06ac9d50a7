"""What a TPU runs in place of the fused operation: the same, in few passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.lowering import made_up_tpu
from sam_pod.machines import tracing
from sam_pod.models import batch_norm
from tests import numpy_net
from tests.models.batch_norm_test import pair


@pytest.fixture
def for_tpu(monkeypatch):
    monkeypatch.setattr(tracing, "is_for_a_tpu", lambda: not tf.executing_eagerly())


def trained(layer, x):
    """Return outputs, gradients and statistics of one traced training call."""

    @tf.function(autograph=False)
    def call(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(tf.cast(y, tf.float32)))
        weights = [v.value for v in layer.trainable_variables]
        return [y, *tape.gradient(loss, [x, *weights])]

    return [*call(x), *layer.get_weights()]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"momentum": 0.5, "epsilon": 0.1}, {"center": False}, {"scale": False}],
)
def test_what_a_tpu_runs_equals_keras(for_tpu, arguments):
    ours, theirs, x = pair(**arguments)
    for mine, expected in zip(trained(ours, x), trained(theirs, x), strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-5, rtol=1e-5)


def test_what_a_tpu_runs_in_bfloat16_is_near_float32(for_tpu):
    ours, _, x = pair(dtype="mixed_bfloat16")
    reference, _, _ = pair()
    half = tf.cast(x, tf.bfloat16)
    got, wide = trained(ours, half), trained(reference, tf.cast(half, tf.float32))
    assert got[0].dtype == got[1].dtype == tf.bfloat16
    assert all(value.dtype == np.float32 for value in got[2:])
    for mine, expected in zip(got, wide, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            tf.cast(mine, tf.float32) / scale, expected / scale, atol=0.03
        )


BIAS = [3.0, -2.0, 1.0, 0.5, 40.0]


def kernel_and_bias_gradients(layer, x, moving_mean, **compiled):
    """Return those of a convolution before the layer, and the moving mean after."""
    kernel = tf.constant(np.random.default_rng(1).normal(size=(1, 1, 5, 5)) * 0.4)
    layer.moving_mean.assign(moving_mean)

    @tf.function(autograph=False, **compiled)
    def call(x):
        weights = [tf.cast(kernel, x.dtype), tf.constant(BIAS, x.dtype)]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            h = tf.nn.bias_add(tf.nn.conv2d(x, weights[0], 1, "VALID"), weights[1])
            loss = tf.reduce_sum(tf.sin(layer(h, training=True)))
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(loss, weights, unconnected_gradients=zero)

    return [*call(x), layer.moving_mean.numpy()]


def mean_before(x):
    kernel = np.random.default_rng(1).normal(size=(1, 1, 5, 5)) * 0.4
    return np.mean(x.numpy() @ kernel[0, 0], (0, 1, 2)) + BIAS


def test_a_bias_before_it_moves_only_the_mean(for_tpu):
    """Its gradient is zero but for rounding; all else is as Keras has it."""
    ours, theirs, x = pair()
    near = mean_before(x) + 0.5
    kernel, bias, mean = kernel_and_bias_gradients(ours, x, near)
    expected = kernel_and_bias_gradients(theirs, x, near)
    np.testing.assert_allclose(bias, np.zeros(5), atol=1e-3)
    np.testing.assert_allclose(expected[1], np.zeros(5), atol=1e-3)
    np.testing.assert_allclose(kernel, expected[0], atol=1e-3)
    np.testing.assert_allclose(mean, expected[2], rtol=1e-6)


def test_in_bfloat16_the_gradient_of_a_bias_before_it_is_not_computed(for_tpu):
    ours, _, x = pair(dtype="mixed_bfloat16")
    half = tf.cast(x, tf.bfloat16)
    _, bias, mean = kernel_and_bias_gradients(ours, half, mean_before(x) + 0.5)
    np.testing.assert_array_equal(bias, np.zeros(5))
    keep = ours.momentum
    expected = mean_before(x) + 0.5 * keep
    np.testing.assert_allclose(mean, expected, atol=0.02)


def test_far_from_the_moving_mean_it_is_as_exact_as_the_fused_operation(monkeypatch):
    """A mean 14 standard deviations off: Keras is better there, today's TPU is not."""
    ours, _, x = pair()
    exact = keras.layers.BatchNormalization(dtype="float64")
    exact.build(x.shape)
    exact.set_weights(ours.get_weights())
    wide = tf.cast(x, tf.float64)
    expected, *_ = kernel_and_bias_gradients(exact, wide, np.zeros(5))
    errors = []
    for is_tpu in (True, False):
        monkeypatch.setattr(tracing, "is_for_a_tpu", lambda on=is_tpu: on)
        kernel, *_ = kernel_and_bias_gradients(ours, x, np.zeros(5), jit_compile=True)
        errors.append(np.abs(kernel.numpy() - expected.numpy()).max())
    assert errors[0] < 2 * errors[1]


def test_what_a_tpu_runs_equals_numpy(for_tpu):
    rng = np.random.default_rng(0)
    weights = numpy_net.initial_weights(rng)
    x, y = rng.normal(size=(6, 8, 8, 3)), rng.integers(0, 5, 6)
    loss, gradient = numpy_net.loss_and_gradient(weights, x, y)

    @tf.function(autograph=False)
    def call(*weights):
        kernel, gamma, beta, dense, bias = weights
        with tf.GradientTape() as tape:
            tape.watch(weights)
            normal, _, _ = batch_norm._normalize_in_few_passes(
                tf.nn.conv2d(x, kernel, 1, "VALID"),
                *(gamma, beta, tf.zeros_like(beta), numpy_net.EPSILON),
            )
            logits = tf.reduce_mean(tf.nn.relu(normal), [1, 2]) @ dense + bias
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, weights)

    got, got_gradient = call(*(tf.constant(w, tf.float64) for w in weights))
    np.testing.assert_allclose(got, loss, rtol=1e-12)
    for mine, expected in zip(got_gradient, gradient, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-12, rtol=1e-10)


def test_a_far_mean_costs_a_tpu_no_precision():
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32) + 1000
    _, mean, variance = batch_norm._normalize_in_few_passes(
        tf.constant(x), tf.ones([3]), tf.zeros([3]), tf.fill([3], 999.0), 1e-3
    )
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=3e-7)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize(
    ("is_tpu", "policy"),
    [(True, "mixed_bfloat16"), (True, "float32"), (False, "mixed_bfloat16")],
)
def test_only_what_is_traced_for_a_tpu_is_written_out(is_tpu, policy):
    ours, _, x = pair(dtype=policy)
    strategy = made_up_tpu.strategy(2) if is_tpu else tf.distribute.get_strategy()
    with strategy.scope():
        graph = tf.function(
            lambda x: ours(x, training=True), autograph=False
        ).get_concrete_function(x)
    kinds = {op.type for op in graph.graph.get_operations()}
    assert ("FusedBatchNormV3" not in kinds) == is_tpu
