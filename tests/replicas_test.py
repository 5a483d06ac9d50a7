"""What is said across replicas, on four real ones."""

import numpy as np
import tensorflow as tf

from sam_pod import replicas
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
        (own,) = replicas.own([i])
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
