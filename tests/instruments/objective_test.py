"""The loss that is measured is the run's, however its examples are measured."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.instruments.objective import Objective
from sam_pod.models import network
from tests import fixtures

EXAMPLES, GLOBAL_BATCH = 12, 8


def net(regularizer):
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 3))
    x = keras.layers.Flatten()(images)
    x = keras.layers.Dense(4, "tanh", activity_regularizer=regularizer)(x)
    return network.Network(keras.Model(images, keras.layers.Dense(5)(x)))


@pytest.mark.parametrize("size", [2, 4, 12])
def test_activities_are_regularized_as_in_the_run_by_any_batch(size):
    made = net(keras.regularizers.L2(0.1))
    objective = Objective(
        fixtures.small_recipe(made),
        EXAMPLES,
        is_regularized=True,
        global_batch_size=GLOBAL_BATCH,
    )
    assert objective.has_regularizers
    assert not Objective(fixtures.small_recipe(net(None)), EXAMPLES).has_regularizers
    ((x, y),) = fixtures.batches(1, EXAMPLES)
    weights = [tf.constant(w) for w in made.initial_weights().values()]
    found = sum(
        objective.share(
            weights, [], Batch(x[i : i + size], y[i : i + size], tf.ones([size]))
        ).numpy()
        for i in range(0, EXAMPLES, size)
    )
    kernel, bias, last, end = (np.asarray(w, np.float64) for w in weights)
    hidden = np.tanh((np.asarray(x) / 255.0).reshape(EXAMPLES, -1) @ kernel + bias)
    logits = hidden @ last + end
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    each = 0.1 * np.square(hidden).sum(axis=1)
    expected = np.mean(-logits[np.arange(EXAMPLES), y] + GLOBAL_BATCH * each)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
