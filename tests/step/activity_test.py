"""Regularizers of activations count as in Keras, however a batch is divided."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.models import network
from sam_pod.step import losses, optimizers
from tests import fixtures

BATCH = 8


def once():
    images = keras.Input((6, 6, 3))
    hidden = keras.layers.Dense(
        7,
        activation="tanh",
        activity_regularizer=keras.regularizers.L2(0.05),
        kernel_regularizer=keras.regularizers.L2(0.01),
    )
    x = hidden(keras.layers.Flatten()(images))
    return keras.Model(images, keras.layers.Dense(5)(x))


def often():
    """Return a model that calls a layer twice, in a part of it that it calls twice.

    A layer before them regularizes as well, and its like, which is called in between.
    """
    regularizer = keras.regularizers.L2(0.05)
    inner = keras.Input((7,))
    shared = keras.layers.Dense(7, "tanh", activity_regularizer=regularizer)
    part = keras.Model(inner, shared(shared(inner)))
    images = keras.Input((6, 6, 3))
    x = keras.layers.Flatten()(images)
    x = keras.layers.Dense(7, activity_regularizer=regularizer)(x)
    x = keras.layers.ActivityRegularization(l1=0.01)(part(x))
    return keras.Model(images, keras.layers.Dense(5)(part(x)))


@pytest.fixture(scope="module", params=[once, often], ids=["once", "often"])
def net(request):
    keras.utils.set_random_seed(0)
    return network.Network(request.param())


def trained(net, count, rho, **more):
    plain = optimizers.sgd(0.0, False)
    recipe = fixtures.small_recipe(net, optimizer=plain, rho=rho, **more)
    strategy = fixtures.mirrored(count) if count > 1 else tf.distribute.get_strategy()
    state, _ = fixtures.train(strategy, recipe, fixtures.batches(1, BATCH))
    return [weight.numpy() for weight in state.weights]


def by_keras(net):
    """Return the weights after a step of Keras' own model on the whole batch."""
    ((images, labels),) = fixtures.batches(1, BATCH)
    with tf.GradientTape() as tape:
        logits = net.model(images.astype(np.float32) / 255, training=True)
        loss = tf.reduce_mean(losses.cross_entropy(logits, labels))
        loss += tf.add_n(net.model.losses)
    weights = net.model.trainable_variables
    gradients = tape.gradient(loss, [w.value for w in weights])
    return [w.numpy() - 0.05 * g for w, g in zip(weights, gradients, strict=True)]


@pytest.mark.parametrize(
    ("count", "more"),
    [
        (1, {}),
        (2, {}),
        (1, {"accumulate_steps": 4}),
        (2, {"micro_batches": 2, "accumulate_steps": 2}),
    ],
    ids=str,
)
def test_a_step_is_that_of_keras_on_the_global_batch(net, count, more):
    for ours, theirs in zip(
        trained(net, count, 0.0, **more), by_keras(net), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    hidden = [x for x in net.model.layers if x.activity_regularizer is not None]
    assert isinstance(hidden[0].activity_regularizer, keras.regularizers.L2)


def test_replicas_that_ascend_together_are_one(net):
    one = trained(net, 1, 0.1)
    for count, more in ((4, {}), (2, {"accumulate_steps": 2})):
        for a, b in zip(trained(net, count, 0.1, **more), one, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
