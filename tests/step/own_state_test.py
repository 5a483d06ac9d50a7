"""State of a user's layer that is no average: whole numbers and truth values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.models import network
from sam_pod.step import averaging
from tests import fixtures

STEPS = 3


class Counter(keras.layers.Layer):
    """Counts the training calls, and remembers that there was one."""

    def build(self, shape):
        del shape
        more = {"initializer": "zeros", "trainable": False, "shape": ()}
        self.count = self.add_weight(dtype="int32", name="count", **more)
        self.has_begun = self.add_weight(dtype="bool", name="has_begun", **more)

    def call(self, x, training=False):
        if training:
            self.count.assign(self.count + 1)
            self.has_begun.assign(True)
        return x


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 3))
    x = keras.layers.Flatten()(Counter()(images))
    return network.Network(keras.Model(images, keras.layers.Dense(5)(x)))


@pytest.mark.parametrize(
    ("count", "more"),
    [
        (1, {}),
        (1, {"accumulate_steps": 2}),
        (1, {"micro_batches": 2}),
        (1, {"average": averaging.Average(0.9)}),
        (2, {"accumulate_steps": 2, "average": averaging.Average(0.9)}),
    ],
    ids=str,
)
def test_it_moves_once_a_step_however_the_batch_is_divided(net, count, more):
    recipe = fixtures.small_recipe(net, **more)
    state, _ = fixtures.train(
        fixtures.mirrored(count) if count > 1 else tf.distribute.get_strategy(),
        *(recipe, fixtures.batches(STEPS, 8)),
    )
    stats = {variable.name.split(":")[0]: variable for variable in state.stats}
    found = {name.rpartition("/")[2]: v.numpy() for name, v in stats.items()}
    assert found == {"count": STEPS, "has_begun": True}
    for averaged, value in zip(
        state.average.get(averaging.STATS, ()), state.stats, strict=False
    ):
        np.testing.assert_array_equal(averaged.numpy(), value.numpy())
