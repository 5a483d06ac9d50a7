"""RMSProp, LARS and LAMB under several replicas, micro-batches and chunks.

Their steps are shares of norms and of roots: what divides must be of the whole batch.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.step import optimizers, update_rules
from tests import fixtures

RULES = {
    "rmsprop": functools.partial(
        optimizers.Optimizer,
        ("square", "momentum"),
        update_rules.rmsprop(0.9, 0.9, 1e-3, 1.0),
    ),
    "lars": functools.partial(
        optimizers.Optimizer, ("velocity",), update_rules.lars(0.9, 1e-2, 0.02)
    ),
    "lamb": functools.partial(
        optimizers.Optimizer,
        ("first", "second"),
        update_rules.lamb(0.9, 0.999, 1e-6, 1e-2),
    ),
}
DATA = fixtures.batches(4, 16)


@functools.cache
def network(norm=True):
    return fixtures.small_model(norm=norm)


def flat(weights):
    return np.concatenate([np.ravel(w) for w in weights])


def trained(name, count, *, norm=True, **more):
    recipe = fixtures.small_recipe(
        network(norm), optimizer=RULES[name](decays_in_loss=False), **more
    )
    alone = tf.distribute.OneDeviceStrategy("/cpu:0")
    strategy = fixtures.mirrored(count) if count > 1 else alone
    state, rows = fixtures.train(strategy, recipe, DATA)
    assert np.isfinite(rows).all()
    for values in fixtures.copies(strategy, fixtures.all_variables(state)):
        for value in values[1:]:
            np.testing.assert_array_equal(value, values[0])
    return flat(w.numpy() for w in state.weights)


def assert_equal_ways(found, expected, norm=True):
    """Assert that two runs went the same way, but for rounding."""
    moved = expected - flat(network(norm).initial_weights().values())
    assert np.abs(moved).max() > 1e-3
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(moved)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_replicas_equal_one_on_the_global_batch(name):
    expected = trained(name, 1, norm=False)
    assert_equal_ways(trained(name, 4, norm=False), expected, norm=False)
    chunks = trained(name, 2, norm=False, accumulate_steps=2)
    assert_equal_ways(chunks, expected, norm=False)


@pytest.mark.slow
def test_micro_batches_that_ascend_apart_are_replicas_that_do():
    """With BatchNorm's statistics of each alone, and one update of them all.

    Of one rule: each gets the mean gradient, and knows not of what.
    """
    name = "lamb"
    expected = trained(name, 4, sync="replica")
    assert_equal_ways(trained(name, 1, sync="replica", micro_batches=4), expected)
    both = trained(name, 2, sync="replica", micro_batches=2)
    assert_equal_ways(both, expected)
    together = trained(name, 1, sync="global")
    assert np.abs(together - expected).max() > 1e-4
