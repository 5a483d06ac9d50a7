"""The average against TensorFlow's own, and that training does not see it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.run import checkpoints
from sam_pod.step import algorithm, averaging
from sam_pod.step import state as state_lib
from tests import fixtures

STEPS = 4


@pytest.mark.parametrize("warmup", [True, False])
def test_it_is_tensorflows_moving_average(warmup):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 3)).astype(np.float32)
    variable = tf.Variable(values[0])
    theirs = tf.train.ExponentialMovingAverage(0.7)
    theirs.apply([variable])
    ours = averaging.Average(0.7, warmup)
    average = ours.start([values[0]], [2 * values[0]])
    for step, value in enumerate(values[1:]):
        variable.assign(value)
        theirs._num_updates = step + 1 if warmup else None
        theirs.apply([variable])
        average = ours.after(average, [value], [2 * value], tf.constant(step))
        np.testing.assert_allclose(
            average[averaging.WEIGHTS][0], theirs.average(variable), rtol=1e-5
        )
    weights, stats = average[averaging.WEIGHTS][0], average[averaging.STATS][0]
    np.testing.assert_allclose(stats, 2 * weights, rtol=1e-5)


def test_the_best_checkpoint_has_the_average_of_its_epoch(tmp_path):
    recipe = dataclasses.replace(
        fixtures.small_recipe(fixtures.small_model()), average=averaging.Average(0.6)
    )
    batches = fixtures.batches(2, 8)
    state, _ = train(recipe, batches[:1])
    saved = checkpoints.Checkpoints(str(tmp_path), state)
    saved.save_best()
    best = [each.numpy() for each in tf.nest.flatten(state.read().evaluated())]
    later, _ = train(recipe, batches)
    state.write(later.read())
    saved.restore_best()
    now = tf.nest.flatten(state.read().evaluated())
    for a, b, other in zip(
        now, best, tf.nest.flatten(later.read().evaluated()), strict=True
    ):
        np.testing.assert_array_equal(a, b)
        assert (other.numpy() != b).any()


def train(recipe, batches):
    """Return the state after some steps, and after each the weights and statistics."""
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    state = state_lib.create(
        strategy, recipe.network, recipe.optimizer, average=recipe.average
    )
    seen = []
    for x, y in batches:
        batch = Batch(tf.constant(x), tf.constant(y))
        values, _ = algorithm.replica_step(state.read(), batch, recipe)
        state.write(values)
        seen.append((values.weights, values.stats))
    return state, seen


def test_training_does_not_see_it_and_evaluation_sees_nothing_else():
    net = fixtures.small_model()
    batches = fixtures.batches(STEPS, 8)
    plain = fixtures.small_recipe(net)
    averaged = dataclasses.replace(plain, average=averaging.Average(0.6))
    without, expected = train(plain, batches)
    state, seen = train(averaged, batches)
    for a, b in zip(tf.nest.flatten(seen), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    average = [*net.initial_weights().values(), *net.initial_stats().values()]
    for step, (weights, stats) in enumerate(seen):
        decay = min(0.6, (2 + step) / (11 + step))
        pairs = zip(average, [*weights, *stats], strict=True)
        average = [decay * old + (1 - decay) * new for old, new in pairs]
    found = state.read().evaluated()
    for a, b in zip(tf.nest.flatten(found), average, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    ((x, y),) = fixtures.batches(1, 8, seed=9)
    batch = Batch(tf.constant(x), tf.constant(y), tf.ones([8]))
    values = without.read()._replace(weights=found[0], stats=found[1])
    np.testing.assert_array_equal(
        algorithm.replica_evaluation(state.read(), batch, averaged),
        algorithm.replica_evaluation(values, batch, plain),
    )
