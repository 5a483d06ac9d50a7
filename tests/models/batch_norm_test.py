"""The fused layer against Keras' own."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.lowering import made_up_tpu
from sam_pod.machines import replicas, tracing
from sam_pod.models import batch_norm, table
from tests import fixtures, numpy_net


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


def shared(layer):
    inputs = keras.Input((6, 6, 5))
    return keras.Model(inputs, layer(inputs))


def test_sharing_reaches_keras_own_layer():
    model = shared(keras.layers.BatchNormalization(name="bn"))
    batch_norm.share_batches(model, list, over_all_replicas=True)
    assert model.get_layer("bn").synchronized
    assert batch_norm.keep_batches_apart(model) == ["bn"]
    assert not model.get_layer("bn").synchronized


@pytest.mark.parametrize("axis", [-1, 1])
def test_keras_own_layer_in_a_group_takes_the_groups_moments(axis):
    """Two halves whose moments are averaged are normalized as the whole batch is."""
    _, whole, x = pair(axis=axis)
    expected = whole(x, training=True)
    halves, sums, outputs = [x[:4], x[4:]], [], []

    def collect(tensors):
        sums.append(tensors)
        return tensors

    def average(_):
        return [(a + b) / 2 for a, b in zip(*sums[:2], strict=True)]

    for function in (collect, average):
        for half in halves:
            _, layer, _ = pair(axis=axis)
            model = shared(layer)
            batch_norm.share_batches(model, function, over_all_replicas=False)
            outputs.append(model(half, training=True))
    np.testing.assert_allclose(tf.concat(outputs[2:], 0), expected, atol=2e-5)
    for mine, theirs in zip(layer.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def saved(folder, layer, **arguments):
    """Return the path of a small network with such a layer in it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    x = layer(**arguments)(keras.layers.Conv2D(4, 3)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    path = str(folder / f"{layer.__name__}{len(arguments)}.keras")
    keras.Model(inputs, keras.layers.Dense(5)(x)).save(path)
    return path


def train_file(path, num_replicas, *, size=0, **recipe):
    """Return weights and statistics after two steps, of which `size` share a batch."""
    average = functools.partial(replicas.group_mean, size=size) if size else None
    net = table.build(
        path,
        (6, 6, 3),
        5,
        batch_norm_average=average,
        over_all_replicas=size == num_replicas,
    )
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    strategy = fixtures.mirrored(num_replicas) if num_replicas > 1 else one
    recipe = fixtures.small_recipe(net, **recipe)
    state, _ = fixtures.train(strategy, recipe, fixtures.batches(2, 16))
    return [v.numpy() for v in [*state.weights, *state.stats]]


KERAS, OURS = keras.layers.BatchNormalization, batch_norm.FusedBatchNormalization
# Both layers, 1, 2 and 4 replicas, micro-batches and chunks: each pair that matters.
SYNCHRONIZED = [
    (KERAS, 1, {"accumulate_steps": 2}),
    (OURS, 1, {"micro_batches": 2}),
    (OURS, 2, {"accumulate_steps": 2, "sync": "replica"}),
    (KERAS, 2, {"micro_batches": 2, "rho": 0.0}),
    (KERAS, 4, {"sync": "2"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "num_replicas", "recipe"), SYNCHRONIZED)
def test_a_files_synchronized_layer_is_what_the_run_says(
    tmp_path, layer, num_replicas, recipe
):
    """With each replica's own batch the flag changes no bit."""
    plain = train_file(saved(tmp_path, layer), num_replicas, **recipe)
    flagged = saved(tmp_path, layer, synchronized=True)
    for mine, expected in zip(
        train_file(flagged, num_replicas, **recipe), plain, strict=True
    ):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_replicas", "size", "recipe", "layers"),
    [
        (
            *(2, 2, {"rho": 0.0, "micro_batches": 2}),
            [(KERAS, {}), (OURS, {"synchronized": True})],
        ),
        (2, 2, {}, [(KERAS, {"synchronized": True})]),
        (4, 2, {"sync": "2", "rho": 0.0}, [(KERAS, {"synchronized": True})]),
    ],
)
def test_a_shared_batch_is_the_same_by_either_layer(
    tmp_path, num_replicas, size, recipe, layers
):
    def train(layer, size=size, **arguments):
        path = saved(tmp_path, layer, **arguments)
        return train_file(path, num_replicas, size=size, **recipe)

    expected = train(OURS)
    for layer, arguments in layers:
        tolerance = 0 if layer is OURS else 1e-5
        for mine, value in zip(train(layer, **arguments), expected, strict=True):
            np.testing.assert_allclose(mine, value, rtol=0, atol=tolerance)
    own = zip(train(OURS, size=0), expected, strict=True)
    assert max(np.abs(a - b).max() for a, b in own) > 1e-4


@pytest.mark.parametrize("shape", [(8, 6, 6, 5), (16, 5)])
def test_a_shared_batch_of_one_replica_is_its_own(shape):
    """Averaging over nobody else gives Keras' numbers, whatever the rank."""
    ours, theirs, x = pair(shape=shape)
    ours.average = list
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
        weights = [v.value for v in layer.trainable_variables]
        results.append([*tape.gradient(loss, [x, *weights]), *layer.get_weights()])
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_allclose(mine, expected, atol=2e-5, rtol=1e-5)


def test_a_far_mean_costs_no_precision():
    """The spread between replicas is found although it is tiny beside the mean."""
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32) + 1000
    halves = [tf.constant(x[:4]), tf.constant(x[4:])]
    sums = []

    def collect(tensors):
        sums.append(tensors)
        return tensors

    near = tf.fill([3], 1000.0)
    for half in halves:
        batch_norm._shared_moments(half, near, collect)
    means = [(a + b) / 2 for a, b in zip(*sums, strict=True)]
    mean, variance = batch_norm._shared_moments(halves[0], near, lambda _: means)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=3e-7)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-4)


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
