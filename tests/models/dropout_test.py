"""Noise of an example is that of its row of the global batch, however that is split."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.models import dropout, network
from tests import fixtures

L = keras.layers
SHAPE = (5, 5, 3)  # An image of 75 numbers, of which counters take four at a time.
LAYERS = {
    "dropout": lambda: L.Dropout(0.4),
    "one of all pixels": lambda: L.Dropout(0.4, noise_shape=(None, 1, 1, 3)),
    "stochastic depth": lambda: L.Dropout(0.4, noise_shape=(None, 1, 1, 1)),
    "one of all examples": lambda: L.Dropout(0.4, noise_shape=(1, 5, 5, 3)),
    "spatial": lambda: L.SpatialDropout2D(0.4),
    "spatial, channels first": lambda: L.SpatialDropout2D(
        0.4, data_format="channels_first"
    ),
    "alpha": lambda: L.AlphaDropout(0.4),
    "gaussian": lambda: L.GaussianDropout(0.4),
    "noise": lambda: L.GaussianNoise(0.4),
    "positions as examples": lambda: keras.Sequential(
        [L.Reshape((25, 3)), L.SpatialDropout1D(0.4), L.Reshape(SHAPE)]
    ),
    "attention": lambda: Attention(),
}


class Attention(keras.Layer):
    """Attends to rows of pixels with dropout of its weights."""

    def __init__(self):
        super().__init__()
        self.attention = L.MultiHeadAttention(2, 4, dropout=0.4)

    def call(self, inputs, training=None):
        rows = tf.reshape(inputs, [-1, 5, 15])
        found = self.attention(rows, rows, training=training)
        return tf.reshape(found, [-1, *SHAPE])


def build(layer):
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE)
    return network.Network(keras.Model(images, layer(images)))


def called(net, images, rows, *, compiled=False):
    weights = [tf.constant(w) for w in net.initial_weights().values()]

    def run(first, images):
        found = net.apply(
            *(weights, [], images),
            key=tf.constant([1, 2]),
            rows=rows._replace(first=first),
        )
        return found.logits

    run = tf.function(run, jit_compile=True) if compiled else run
    return run(tf.constant(rows.first, tf.int64), images).numpy()


@pytest.mark.parametrize(
    ("name", "compiled"),
    [
        *((name, False) for name in LAYERS),
        ("dropout", True),
        *(
            pytest.param(n, True, marks=pytest.mark.slow)
            for n in ("stochastic depth", "one of all examples", "noise", "attention")
        ),
    ],
)
def test_rows_of_a_batch_are_those_of_the_whole(name, compiled):
    net = build(LAYERS[name]())
    images = tf.random.stateless_normal([8, *SHAPE], [0, 1])
    call = functools.partial(called, net, compiled=compiled)
    whole = call(images, dropout.Rows(0, 8))
    parts = [call(images[i : i + 2], dropout.Rows(i, 2)) for i in (0, 2, 4, 6)]
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if name == "attention" else {"rtol": 0}
    np.testing.assert_allclose(np.concatenate(parts), whole, **tolerance)
    assert not net.draws_by_batch
    if name != "one of all examples":
        same = call(tf.tile(images[:1], [8, 1, 1, 1]), dropout.Rows(0, 8))
        assert np.abs(same[1:] - same[0]).max() > 0.01
    if name != "attention":
        chosen = dropout.Rows(2, 4, tf.constant([1, 3]))
        found = call(tf.gather(images, [3, 5]), chosen)
        np.testing.assert_array_equal(found, whole[[3, 5]])


@pytest.mark.parametrize("name", ["dropout", "stochastic depth", "alpha", "spatial"])
def test_what_is_kept_and_what_is_not_are_those_of_keras(name):
    layer = LAYERS[name]()
    net, ones = build(layer), tf.ones([400, *SHAPE])
    found = called(net, ones, dropout.Rows(0, 400))
    keras_own = type(layer).call(layer, ones, training=True).numpy()
    np.testing.assert_allclose(
        np.unique(found.round(5)), np.unique(keras_own.round(5)), atol=2e-5
    )
    # Four standard deviations of 400 draws at least.
    assert abs((found == found.max()).mean() - 0.6) < 0.1


@pytest.mark.parametrize(("name", "mean"), [("gaussian", 1), ("noise", 1)])
def test_gaussian_noise_has_the_deviation_of_keras(name, mean):
    layer = LAYERS[name]()
    net, ones = build(layer), tf.ones([400, *SHAPE])
    found = called(net, ones, dropout.Rows(0, 400))
    keras_own = type(layer).call(layer, ones, training=True).numpy()
    np.testing.assert_allclose(found.mean(), mean, atol=0.03)
    np.testing.assert_allclose(found.std(), keras_own.std(), rtol=0.03)


def test_a_layer_called_twice_draws_twice_and_another_otherwise():
    inputs = keras.Input((100,))
    layer = L.Dropout(0.5)
    outputs = L.Concatenate()([layer(inputs), layer(inputs), L.Dropout(0.5)(inputs)])
    net = network.Network(keras.Model(inputs, outputs))
    found = called(net, tf.ones([4, 100]), dropout.Rows(0, 4))
    one, two, three = np.split(found > 0, 3, axis=1)
    for a, b in ((one, two), (two, three), (one, three)):
        assert 0.4 < (a == b).mean() < 0.6


class OwnDropout(L.Dropout):
    """A user's, which may do anything."""


def test_layers_that_draw_otherwise_are_known_and_differ_between_batches():
    net = build(OwnDropout(0.5))
    assert net.draws_by_batch
    ones = tf.ones([4, *SHAPE])
    first, same, next_ = (called(net, ones, dropout.Rows(i, 4)) for i in (0, 0, 4))
    np.testing.assert_array_equal(first, same)
    assert (first != next_).mean() > 0.3


@pytest.mark.parametrize(
    ("variant", "split"),
    [
        (sam.sam.build(), {"accumulate_steps": 2}),
        pytest.param(sam.looksam.build(2), {}, marks=pytest.mark.slow),
    ],
    ids=["sam", "looksam"],
)
def test_replicas_and_chunks_with_dropout_are_one_batch(variant, split):
    net = fixtures.small_model(norm=False, dropout=0.5)

    def train(strategy, **more):
        recipe = fixtures.small_recipe(net, variant=variant, **more)
        return fixtures.train(strategy, recipe, fixtures.batches(4, 16))[0]

    one = train(tf.distribute.OneDeviceStrategy("/cpu:0"))
    many = train(fixtures.mirrored(2), **split)
    for a, b in zip(one.weights, many.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
