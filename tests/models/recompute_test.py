"""Blocks that are computed again give what they give without, in less memory."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import (
    gates,
    graph_blocks,
    network,
    pyramidnet,
    resnet_cifar,
    resnet_imagenet,
    shake_shake,
    vit,
    wide_resnet,
)
from tests import fixtures

SHAPE, CLASSES = (8, 8, 3), 5
BUILDERS = {
    "wide": functools.partial(wide_resnet.build, depth=10, width=1),
    "wide projection": functools.partial(
        wide_resnet.build, depth=10, width=1, shortcut="projection"
    ),
    "he": functools.partial(resnet_cifar.build_he, depth=8),
    "vit": functools.partial(vit.build, width=8, heads=2, patch=4, depth=2),
    "shake": functools.partial(shake_shake.build, width=4, blocks=1),
}


def small(name):
    keras.utils.set_random_seed(0)
    return BUILDERS[name](SHAPE, CLASSES, "float32")


def dropping():
    """Return a model with dropout in and around a block, and a loss of its own."""
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE)
    x = keras.layers.Dropout(0.3)(keras.layers.Conv2D(4, 3, padding="same")(images))
    y = keras.layers.Conv2D(4, 3, padding="same", activity_regularizer="l2")(x)
    y = keras.layers.BatchNormalization()(keras.layers.Dropout(0.3)(y))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, y]))
    end = keras.layers.Dense(CLASSES, kernel_regularizer="l2")
    return keras.Model(images, end(x))


def twice():
    """Return a model that calls a part of it, with a block, two times."""
    keras.utils.set_random_seed(0)
    inner = keras.Input((8, 8, 3))
    y = keras.layers.BatchNormalization()(inner)
    y = keras.layers.Conv2D(3, 3, padding="same", activity_regularizer="l2")(y)
    inner = keras.Model(inner, keras.layers.Add()([inner, y]), name="inner")
    images = keras.Input(SHAPE)
    x = keras.layers.Flatten()(inner(inner(images)))
    return keras.Model(images, keras.layers.Dense(CLASSES)(x))


def gradients(net, *, true=False):
    """Return (loss, gradients, statistics) of a call, in a graph."""
    images, labels = fixtures.batches(1, 4, SHAPE, CLASSES)[0]
    weights = [tf.constant(w) for w in net.initial_weights().values()]
    stats = [tf.constant(s) for s in net.initial_stats().values()]
    drawn = None
    if net.num_gates:
        uniform = tf.random.stateless_uniform([4, net.num_gates], [3, 4])
        drawn = gates.Drawn(uniform, true)

    @tf.function(autograph=False)
    def call(*weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            found = net.apply(
                *(list(weights), stats, tf.constant(images, tf.float32) / 255),
                key=tf.constant([1, 2]),
                gates=drawn,
            )
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, found.logits)
            loss = tf.reduce_mean(each) + found.penalty
        zero = tf.UnconnectedGradients.ZERO
        gradient = tape.gradient(loss, weights, unconnected_gradients=zero)
        return loss, list(gradient), found.stats

    return call(*weights)


def assert_same(model, **how):
    plain, blocks = network.Network(model), network.Network(model, recomputes=True)
    (loss, gradient, stats), again = gradients(plain, **how), gradients(blocks, **how)
    np.testing.assert_array_equal(again[0], loss)
    for one, other in zip(again[1], gradient, strict=True):
        scale = max(np.abs(other).max(), 1e-3)
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6 * scale)
    for one, other, old in zip(
        again[2], stats, plain.initial_stats().values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert np.abs(one - old).max() > 0
    return blocks.blocks.count


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("wide", 3),
        ("vit", 4),
        pytest.param("wide projection", 3, marks=pytest.mark.slow),
        pytest.param("he", 3, marks=pytest.mark.slow),
        pytest.param("shake", 3, marks=pytest.mark.slow),
    ],
)
def test_gradients_and_statistics_are_those_without(name, count):
    """Statistics move once; a transformer's block is its attention and its MLP."""
    assert assert_same(small(name)) == count


def test_dropout_and_losses_of_layers_are_the_same_when_computed_again():
    assert assert_same(dropping()) == 1


def test_a_part_that_is_called_twice_moves_its_statistics_twice():
    assert assert_same(twice()) == 2


@pytest.mark.parametrize("true", [True, False])
def test_gates_are_the_same_when_computed_again(true):
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, padding="same")(images)
    for keep in (0.3, 0.6):
        y = gates.ShakeDrop(keep)(keras.layers.Conv2D(4, 3, padding="same")(x))
        x = keras.layers.Add()([x, y])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(CLASSES)(x))
    assert assert_same(model, true=true) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "blocks"),
    [
        (
            functools.partial(
                pyramidnet.build, depth=29, alpha=9, has_bottlenecks=True
            ),
            9,
        ),
        (functools.partial(resnet_imagenet.build, depth=50, width=4), 16),
    ],
)
def test_deep_models_have_the_blocks_of_their_papers(build, blocks):
    """PyramidNets are of models in a model."""
    found = graph_blocks.of(build((32, 32, 3), CLASSES, "float32")).parts
    assert sum(part.is_block for part in found) == blocks
    assert all(len(part.inputs) == len(part.outputs) == 1 for part in found)


def test_every_call_is_in_one_part_and_a_block_takes_one_tensor():
    model = small("he")
    found = graph_blocks.of(model).parts
    names = [call.node.operation.name for part in found for call in part.calls]
    assert sorted(names) == sorted(layer.name for layer in model.layers[1:])
    assert all(len(part.inputs) == len(part.outputs) == 1 for part in found)


def test_a_model_without_branches_is_refused():
    with pytest.raises(errors.UserError, match=r"`model\.remat` is 'blocks'"):
        network.Network(fixtures.small_model().model, recomputes=True)


@pytest.mark.slow
def test_second_derivatives_pass_through_blocks():
    """As the Hessian's products are taken."""
    model = small("vit")
    found = []
    for recomputes in (False, True):
        net = network.Network(model, recomputes=recomputes)
        weights = [tf.constant(w) for w in net.initial_weights().values()]
        images = tf.constant(fixtures.batches(1, 2, SHAPE)[0][0], tf.float32) / 255

        @tf.function(autograph=False)
        def product(*weights, net=net, images=images):
            with tf.GradientTape() as outer:
                outer.watch(weights)
                with tf.GradientTape() as inner:
                    inner.watch(weights)
                    key = tf.constant([1, 2])
                    outputs = net.apply(list(weights), [], images, key=key)
                    loss = tf.reduce_sum(outputs.logits**3)
                gradient = inner.gradient(loss, weights)
            return outer.gradient(gradient, weights, output_gradients=list(weights))

        # Random, or nothing of the blocks would reach the logits: their layer begins
        # with zeros, and equal columns see a mean that LayerNorm has made 0.
        random = np.random.default_rng(0)
        weights = [w + 0.2 * random.normal(size=w.shape) for w in weights]
        found.append(product(*weights))
    largest = sorted(np.abs(one).max() for one in found[0])
    assert largest[1] < 1e-4 < 0.1 < largest[2]  # The keys' biases change nothing.
    for one, other in zip(*found, strict=True):
        scale = max(np.abs(one).max(), 0.1)
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-5 * scale)
