"""Keras' Normalization: its statistics are those of the call, and of no other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.lowering import programs
from sam_pod.models import network, table
from tests import fixtures

SHAPE = (6, 6, 3)


def adapted(low, high):
    """Return a layer that is adapted to numbers from `low` to `high`."""
    layer = keras.layers.Normalization(name="norm")
    rng = np.random.default_rng(0)
    layer.adapt(rng.uniform(low, high, (50, *SHAPE)).astype("float32"))
    return layer


def given():
    return keras.layers.Normalization(mean=[3.0, 4.0, 5.0], variance=[1.0, 4.0, 9.0])


def model(layer):
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, name="conv")(layer(images))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(5, name="head")(x))


def values(net):
    return [
        [tf.constant(v) for v in part.values()]
        for part in (net.initial_weights(), net.initial_stats())
    ]


def images():
    return tf.constant(
        np.random.default_rng(1).uniform(0, 255, (4, *SHAPE)), tf.float32
    )


@pytest.mark.parametrize("compiles", [False, True])
def test_a_network_normalizes_by_the_statistics_that_it_is_given(compiles):
    here, there = (network.Network(model(adapted(*r))) for r in ((0, 255), (100, 110)))

    def call(*arguments):
        return here.apply(*arguments).logits

    call = tf.function(call) if compiles else call
    expected = there.model(images())
    np.testing.assert_array_equal(call(*values(there), images()), expected)
    # The layer itself is as it was, and takes what the model is given for good.
    assert np.abs(here.model(images()) - expected).max() > 1
    here.assign(*([v.numpy() for v in part] for part in values(there)))
    np.testing.assert_array_equal(here.model(images()), expected)


def test_replicas_normalize_by_their_statistics():
    here, there = (network.Network(model(adapted(*r))) for r in ((0, 255), (100, 110)))
    strategy = fixtures.mirrored(2)
    weights, stats = values(there)

    @tf.function
    def run():
        return strategy.run(lambda: here.apply(weights, stats, images()).logits)

    for logits in strategy.experimental_local_results(run()):
        np.testing.assert_allclose(logits, there.model(images()), rtol=1e-5, atol=1e-6)


def test_weights_of_a_file_are_taken_with_its_statistics(tmp_path):
    for name, bounds in (("here", (0, 255)), ("there", (100, 110))):
        model(adapted(*bounds)).save(tmp_path / f"{name}.keras")
    here, there = (
        table.build(str(tmp_path / f"{name}.keras"), SHAPE, 5)
        for name in ("here", "there")
    )
    logits = here.apply(*values(there), images()).logits
    np.testing.assert_array_equal(logits, there.model(images()))


@pytest.mark.parametrize("layer", [lambda: adapted(0, 255), given])
def test_what_is_lowered_takes_nothing_else(layer):
    net = network.Network(model(layer()))
    recipe = fixtures.small_recipe(net)
    arguments = {"num_replicas": 2, "per_replica_batch_size": 4}
    for build in (programs.train_step, programs.evaluation):
        assert not build(recipe, SHAPE, **arguments).graph.captures


class Remembers(keras.layers.Layer):
    """A layer with a tensor that is no variable."""

    def build(self, shape):
        self.offset = tf.linspace(0.0, 1.0, shape[-1])

    def call(self, x):
        return x + self.offset


def test_another_layers_own_tensor_is_refused_with_its_name():
    net = network.Network(model(Remembers(name="remembers")))
    with pytest.raises(errors.UserError, match=r"remembers.* reads a tensor .*\(3,\)"):
        programs.train_step(
            fixtures.small_recipe(net), SHAPE, num_replicas=2, per_replica_batch_size=4
        )
