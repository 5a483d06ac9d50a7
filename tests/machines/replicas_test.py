"""What is said across replicas, on four real ones."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.machines import replicas
from tests import fixtures


def run(count, fn):
    strategy = fixtures.mirrored(count)
    results = strategy.run(tf.function(fn))
    return [r.numpy() for r in strategy.experimental_local_results(results)]


def test_means_and_totals_of_lists():
    def fn():
        i = tf.cast(replicas.index(), tf.float32)
        (mean,) = replicas.mean([i])
        total, pair = replicas.total([i, tf.stack([i, 1.0])])
        (own,) = replicas.group_mean([i], 1)
        count = tf.constant(replicas.count(), tf.float32)
        return tf.stack([mean, total, *tf.unstack(pair), own, count])

    for i, result in enumerate(run(4, fn)):
        np.testing.assert_array_equal(result, [1.5, 6, 6, 4, i, 4])


def test_alone_nothing_is_reduced():
    def fn():
        x = tf.constant([1.0, 2.0])
        assert replicas.mean([x])[0] is x
        assert replicas.mean([]) == []
        return x

    run(1, fn)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_means_of_groups_are_of_consecutive_replicas(size):
    def fn():
        i = tf.cast(replicas.index(), tf.float32)
        huge, pair = replicas.group_mean([i * 1e30, tf.stack([i, float("nan")])], size)
        return tf.stack([huge, pair[0], pair[1]])

    for i, (huge, own, nan) in enumerate(run(4, fn)):
        expected = np.mean([j for j in range(4) if j // size == i // size])
        assert own == expected
        np.testing.assert_allclose(huge, expected * 1e30, rtol=1e-6)
        assert np.isnan(nan)


def test_a_group_does_not_see_what_another_has():
    def fn():
        i = replicas.index()
        mine = tf.where(i < 2, float("nan"), tf.cast(i, tf.float32))
        return tf.stack(replicas.group_mean([mine], 2))

    results = run(4, fn)
    assert np.isnan(results[0]).all()
    assert np.isnan(results[1]).all()
    np.testing.assert_array_equal(results[2:], [[2.5], [2.5]])
