"""The step: against NumPy, across replicas, and in a loop."""

import time

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.data.input.batches import Batch
from sam_pod.machines import groups
from sam_pod.models import network
from sam_pod.step import loop as loop_lib
from sam_pod.step import metrics, optimizers
from sam_pod.step import state as state_lib
from tests import fixtures, numpy_net


def one():
    return tf.distribute.OneDeviceStrategy("/cpu:0")


def max_difference(a, b):
    return max(
        np.abs(x.numpy() - y.numpy()).max()
        for x, y in zip(a.weights, b.weights, strict=True)
    )


def test_20_steps_of_the_whole_step_equal_numpy():
    """Model, BatchNorm, SAM, momentum and input against hand-derived NumPy."""
    net = fixtures.small_model()
    recipe = fixtures.small_recipe(net)
    data = fixtures.batches(20, 16)
    state, rows = fixtures.train(one(), recipe, data)

    kernel, gamma, beta, dense, bias = [
        np.asarray(w, np.float64) for w in net.initial_weights().values()
    ]
    weights = [kernel, gamma, beta, dense, bias]
    velocity = [np.zeros_like(w) for w in weights]
    for (x, y), row in zip(data, rows, strict=True):
        x = x / 255.0
        loss, g = numpy_net.loss_and_gradient(weights, x, y)
        norm = np.sqrt(sum((a**2).sum() for a in g))
        ascended = [w + 0.1 * a / norm for w, a in zip(weights, g, strict=True)]
        perturbed_loss, g = numpy_net.loss_and_gradient(ascended, x, y)
        velocity = [0.9 * v - 0.05 * a for v, a in zip(velocity, g, strict=True)]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
        report = dict(zip(metrics.TRAIN, row, strict=True))
        assert report["train/loss"] == pytest.approx(loss, abs=1e-5)
        assert report["train/perturbed_loss"] == pytest.approx(perturbed_loss, abs=1e-5)
        assert report["train/sharpness"] == pytest.approx(
            perturbed_loss - loss, abs=1e-5
        )
        assert report["train/grad_norm"] == pytest.approx(norm, abs=1e-5)
        assert report["train/learning_rate"] == pytest.approx(0.05)
        assert report["train/rho"] == pytest.approx(0.1)
    for ours, theirs in zip(state.weights, weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_rho_zero_is_the_plain_optimizer_bit_for_bit(optimizer):
    build = {"sgd": optimizers.sgd, "adam": optimizers.adam}[optimizer]
    net = fixtures.small_model()
    recipe = fixtures.small_recipe(net, rho=0.0, optimizer=build())
    data = fixtures.batches(10, 16)
    state, rows = fixtures.train(one(), recipe, data)

    weights = [tf.constant(w) for w in net.initial_weights().values()]
    slots = {
        n: [tf.zeros_like(w) for w in weights] for n in recipe.optimizer.slot_names
    }

    @tf.function
    def plain_step(weights, slots, x, y, i):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = fixtures.mean_loss(net, weights, x, y)
        gradient = tape.gradient(loss, weights)
        rate = recipe.schedule(i, tf.constant(1.0))
        return recipe.optimizer.update(gradient, slots, weights, i, rate)

    for i, (x, y) in enumerate(data):
        x, y, i = tf.constant(x), tf.constant(y), tf.constant(i, tf.int64)
        weights, slots = plain_step(weights, slots, x, y, i)
    for ours, theirs in zip(state.weights, weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    by_name = dict(zip(metrics.TRAIN, rows.T, strict=True))
    np.testing.assert_array_equal(
        by_name["train/loss"], by_name["train/perturbed_loss"]
    )
    np.testing.assert_array_equal(by_name["train/sharpness"], 0)


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_replicas_equal_one_on_the_global_batch(count):
    recipe = fixtures.small_recipe(fixtures.small_model(norm=False))
    data = fixtures.batches(5, 16)
    alone, rows = fixtures.train(one(), recipe, data)
    strategy = fixtures.mirrored(count)
    many, many_rows = fixtures.train(strategy, recipe, data)
    # Bound of the rounding of float32 sums in another order.
    assert max_difference(alone, many) <= 2e-7
    np.testing.assert_allclose(rows, many_rows, atol=1e-5)
    assert max_difference(alone, fixtures.train(one(), recipe, data[:1])[0]) > 1e-3


@pytest.mark.slow
def test_replicas_are_bit_equal_after_200_steps():
    net = fixtures.small_model(dropout=0.3)
    strategy = fixtures.mirrored(4)
    remembering = {"replica": sam.looksam.build(3), "2": sam.friendly.build()}
    for sync in (*groups.NAMES, "2"):
        recipe = fixtures.small_recipe(
            net,
            sync=sync,
            optimizer=optimizers.adam(),
            variant=remembering.get(sync, sam.sam.build()),
        )
        state, _ = fixtures.train(strategy, recipe, fixtures.batches(200, 8))
        for values in fixtures.copies(strategy, fixtures.all_variables(state)):
            assert len(values) == 4
            for value in values[1:]:
                np.testing.assert_array_equal(value, values[0])
        assert int(state.step.numpy()) == 200


@pytest.mark.parametrize("sync", ["replica", "norm", "global"])
def test_each_sync_has_its_closed_form_on_two_replicas(sync):
    net = fixtures.small_model(norm=False)
    rho = 0.3
    recipe = fixtures.small_recipe(
        net, sync=sync, rho=rho, optimizer=optimizers.sgd(0.0)
    )
    ((x, y),) = fixtures.batches(1, 8)
    state, rows = fixtures.train(fixtures.mirrored(2), recipe, [(x, y)])

    weights = [tf.constant(w) for w in net.initial_weights().values()]
    halves = [(x[:4], y[:4]), (x[4:], y[4:])]

    def gradient(weights, half):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = fixtures.mean_loss(net, weights, *half)
        return [g.numpy() for g in tape.gradient(loss, weights)]

    own = [gradient(weights, half) for half in halves]
    norms = [np.sqrt(sum((g**2).sum() for g in gs)) for gs in own]
    assert abs(norms[0] - norms[1]) > 1e-3
    mean = [(a + b) / 2 for a, b in zip(*own, strict=True)]
    mean_norm = np.sqrt(sum((g**2).sum() for g in mean))
    rms = np.sqrt((norms[0] ** 2 + norms[1] ** 2) / 2)
    ascent, norm = {
        "global": ([mean, mean], [mean_norm, mean_norm]),
        "replica": (own, norms),
        "norm": (own, [rms, rms]),
    }[sync]
    ascended = [
        [w + rho * g / norm[r] for w, g in zip(weights, ascent[r], strict=True)]
        for r in range(2)
    ]
    gradients = [gradient(ascended[r], halves[r]) for r in range(2)]
    for new, old, a, b in zip(state.weights, weights, *gradients, strict=True):
        np.testing.assert_allclose(new.numpy(), old - 0.05 * (a + b) / 2, atol=1e-6)
    reported = dict(zip(metrics.TRAIN, rows[0], strict=True))["train/grad_norm"]
    assert reported == pytest.approx(np.mean(norm), rel=1e-5)


def test_statistics_move_once_a_step_from_the_clean_pass_as_a_mean_over_replicas():
    net = fixtures.small_model()
    recipe = fixtures.small_recipe(net, rho=5.0)
    ((x, y),) = fixtures.batches(1, 8)
    strategy = fixtures.mirrored(2)
    state, _ = fixtures.train(strategy, recipe, [(x, y)])
    kernel = next(iter(net.initial_weights().values()))
    h = tf.nn.conv2d(x.astype(np.float32) / 255, kernel, 1, "VALID").numpy()
    means = [half.mean((0, 1, 2)) for half in (h[:4], h[4:])]
    variances = [half.var((0, 1, 2)) for half in (h[:4], h[4:])]
    mean, variance = (s.numpy() for s in state.stats)
    np.testing.assert_allclose(mean, 0.01 * np.mean(means, 0), atol=1e-6)
    np.testing.assert_allclose(variance, 0.99 + 0.01 * np.mean(variances, 0), atol=1e-6)


def run_on(strategy, fn):
    results = strategy.run(tf.function(fn))
    return [r.numpy() for r in strategy.experimental_local_results(results)]


def test_weight_decay_enters_both_gradients():
    net = fixtures.small_model(norm=False)
    decay, rho = 0.5, 0.3
    recipe = fixtures.small_recipe(
        net, rho=rho, weight_decay=decay, optimizer=optimizers.sgd(0.0)
    )
    ((x, y),) = fixtures.batches(1, 8)
    state, _ = fixtures.train(one(), recipe, [(x, y)])

    def loss_fn(weights):
        kernels = [w for w in weights if len(w.shape) > 1]
        penalty = sum(decay / 2 * tf.reduce_sum(w**2) for w in kernels)
        return fixtures.mean_loss(net, weights, x, y) + penalty, None

    weights = [tf.constant(w) for w in net.initial_weights().values()]
    expected = sam.gradient(loss_fn, weights, rho).gradient
    for new, old, g in zip(state.weights, weights, expected, strict=True):
        np.testing.assert_allclose(new.numpy(), old - 0.05 * g, atol=1e-6)


def test_frozen_statistics_stay_bit_equal():
    net = fixtures.small_model()
    frozen = net.model.layers[2]
    frozen.trainable = False
    net = network.Network(net.model)
    assert len(net.initial_stats()) == 4
    frozen_values = {n: v + 0.1 for n, v in net.initial_stats().items()}
    net.initial_stats = lambda: frozen_values
    strategy = fixtures.mirrored(3)
    recipe = fixtures.small_recipe(net)
    state, _ = fixtures.train(strategy, recipe, fixtures.batches(3, 9))
    for variable, value in zip(state.stats, frozen_values.values(), strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_the_loop_does_not_change_the_result():
    recipe = fixtures.small_recipe(fixtures.small_model(dropout=0.2))
    data = fixtures.batches(6, 8)
    whole, rows = fixtures.train(one(), recipe, data)
    strategy = one()
    state = state_lib.create(strategy, recipe.network, recipe.optimizer)
    loop = loop_lib.compile_train(strategy, state, recipe)
    images, labels = (np.concatenate(part) for part in zip(*data, strict=True))
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8, True)
    dataset = loop_lib.stamped(dataset.map(Batch))
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    parts = [loop(iterator, tf.constant(n, tf.int64))[0].numpy() for n in (1, 3, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert max_difference(whole, state) == 0
    assert loop.experimental_get_tracing_count() == 1


def slow(dataset, seconds):
    """Let each element come so many seconds after the one before."""
    sleeping = tf.raw_ops.SleepDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        sleep_microseconds=int(seconds * 1e6),
        output_types=[spec.dtype for spec in dataset.element_spec],
        output_shapes=[spec.shape for spec in dataset.element_spec],
    )
    return tf.data.experimental.from_variant(sleeping, dataset.element_spec)


@pytest.mark.parametrize("replicas", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_loop_tells_how_long_its_steps_waited_for_input(replicas):
    """Nearly all of the time where the input is slow, none of it where the step is."""
    strategy = one() if replicas == 1 else fixtures.mirrored(replicas)

    def waited(input_seconds, products):
        def replica_fn(batch):
            matrix = tf.fill([300, 300], tf.cast(batch.images[0], tf.float32))
            for _ in range(products):
                matrix = tf.matmul(matrix, matrix) * 1e-3
            return tf.stack([tf.reduce_mean(matrix)] * 2)

        def input_fn(context):
            del context
            pairs = tf.data.Dataset.from_tensors((tf.ones([4]), tf.ones([4])))
            batches = slow(pairs.repeat(), input_seconds / replicas).map(Batch)
            return loop_lib.stamped(batches)

        loop = loop_lib.compile_loop(strategy, [replica_fn], 2)
        iterator = iter(strategy.distribute_datasets_from_function(input_fn))
        loop(iterator, tf.constant(1, tf.int64))  # Compiles.
        start = time.monotonic()
        rows, waits = loop(iterator, tf.constant(10, tf.int64))
        assert rows.shape == (10, 2) and waits.shape == (10,)
        seconds = time.monotonic() - start
        return waits.numpy().sum() / seconds

    assert waited(0.05, products=0) > 0.6
    # The first step of a loop may wait, for what the one before has taken.
    assert waited(1e-4, products=100) < 0.2
