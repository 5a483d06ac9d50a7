"""A Keras model as a pure function, and models by name or file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import batch_norm, network, table

SHAPE = (8, 8, 3)


def small_model(*, softmax=False, dropout=0.5, classes=5, regularizer=None):
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, kernel_regularizer=regularizer)(images)
    x = batch_norm.FusedBatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Dropout(dropout)(keras.layers.Flatten()(x))
    activation = "softmax" if softmax else None
    return keras.Model(images, keras.layers.Dense(classes, activation=activation)(x))


def call(net, images, key=None):
    weights = [tf.constant(w) for w in net.initial_weights().values()]
    stats = [tf.constant(s) for s in net.initial_stats().values()]
    return net.apply(weights, stats, images, key=key)


def images(seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=(16, *SHAPE)), "float32")


def test_inference_equals_keras_and_moves_nothing():
    model = small_model()
    net = network.Network(model)
    outputs = call(net, images())
    np.testing.assert_allclose(outputs.logits, model(images()), rtol=1e-6)
    for new, old in zip(outputs.stats, net.initial_stats().values(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_training_moves_the_statistics_as_keras_does():
    model = small_model(dropout=0.0)
    net = network.Network(model)
    outputs = call(net, images(), key=tf.constant([1, 2]))
    for name, value in net.initial_stats().items():
        assert "seed" not in name
        assert value.dtype == np.float32
    expected_logits = model(images(), training=True)
    np.testing.assert_allclose(outputs.logits, expected_logits, rtol=1e-5, atol=1e-5)
    moved = [v.numpy() for v in model.layers[2].non_trainable_variables]
    for new, expected in zip(outputs.stats, moved, strict=True):
        np.testing.assert_allclose(new, expected, rtol=1e-6)
        assert np.abs(expected).max() > 0


def test_dropout_is_a_function_of_the_key():
    net = network.Network(small_model())
    a, b = tf.constant([3, 1]), tf.constant([3, 2])
    first = call(net, images(), key=a).logits
    np.testing.assert_array_equal(first, call(net, images(), key=a).logits)
    assert np.abs(first - call(net, images(), key=b).logits).max() > 0.1


def test_the_two_dropout_layers_draw_different_masks():
    inputs = keras.Input((1000,))
    one = keras.layers.Dropout(0.5)(inputs)
    two = keras.layers.Dropout(0.5)(inputs)
    model = keras.Model(inputs, keras.layers.Concatenate()([one, two]))
    logits = network.Network(model).apply(
        [], [], tf.ones([1, 1000]), key=tf.constant([0, 0])
    )
    one, two = np.split(logits.logits.numpy()[0] > 0, 2)
    assert 0.4 < (one == two).mean() < 0.6


def test_regularizers_are_in_the_penalty():
    net = network.Network(small_model(regularizer=keras.regularizers.L2(0.3)))
    kernel = next(iter(net.initial_weights().values()))
    np.testing.assert_allclose(
        call(net, images()).penalty, 0.3 * (kernel**2).sum(), rtol=1e-5
    )


def test_the_seed_decides_the_initial_weights():
    def first(seed):
        return next(
            iter(
                table.build("resnet20", SHAPE, 5, seed=seed).initial_weights().values()
            )
        )

    np.testing.assert_array_equal(first(1), first(1))
    assert np.abs(first(1) - first(2)).max() > 0.01


def test_tiny_images_are_refused():
    with pytest.raises(errors.UserError, match="at least 4 x 4"):
        table.build("resnet20", (3, 8, 1), 5)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_base_called_with_training_false_moves_its_statistics_as_in_keras(frozen):
    inputs = keras.Input(SHAPE)
    norm = keras.layers.BatchNormalization(momentum=0.5)
    base = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3), norm])
    base.trainable = not frozen
    head = keras.layers.Dense(5)(keras.layers.Flatten()(base(inputs, training=False)))
    model = keras.Model(inputs, head)
    net, batch = network.Network(model), images()
    ours = call(net, batch, key=tf.constant([0, 1])).stats[-2:]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(batch, tf.zeros([16]), batch_size=16, verbose=0)
    moved = norm.moving_mean.numpy()
    np.testing.assert_allclose(ours[0], moved, atol=1e-5)
    assert (np.abs(moved).max() < 1e-9) == frozen
