"""A Keras model as a pure function, and models by name or file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors, models
from sam_pod.models import batch_norm, network

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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("softmax", [True, False])
def test_a_keras_file_is_trained_from_its_weights(tmp_path, softmax, dtype):
    path = str(tmp_path / "model.keras")
    model = small_model(softmax=softmax)
    model.save(path)
    net = models.build(path, SHAPE, 5, dtype=dtype)
    for mine, saved in zip(
        net.initial_weights().values(), model.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(mine, saved.numpy())
    logits = call(net, images()).logits
    assert logits.dtype == tf.float32
    probabilities = tf.nn.softmax(logits) if softmax else logits
    tolerance = 1e-5 if dtype == "float32" else 0.1
    np.testing.assert_allclose(probabilities, model(images()), atol=tolerance)
    layer = next(x for x in net.model.layers if isinstance(x, keras.layers.Conv2D))
    assert layer.compute_dtype == dtype


def test_a_softmax_layer_at_the_end_is_taken_off(tmp_path):
    path = str(tmp_path / "model.keras")
    base = small_model()
    keras.Model(base.inputs, keras.layers.Softmax()(base.output)).save(path)
    net = models.build(path, SHAPE, 5)
    np.testing.assert_allclose(call(net, images()).logits, base(images()), rtol=1e-5)


def test_the_seed_decides_the_initial_weights():
    def first(seed):
        return next(
            iter(
                models.build("resnet20", SHAPE, 5, seed=seed).initial_weights().values()
            )
        )

    np.testing.assert_array_equal(first(1), first(1))
    assert np.abs(first(1) - first(2)).max() > 0.01


def save(tmp_path, model):
    path = str(tmp_path / "model.keras")
    model.save(path)
    return path


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match=r"'resnet2'.*Did you mean 'resnet20'"):
        models.build("resnet2", SHAPE, 5)
    with pytest.raises(errors.UserError, match="no such file"):
        models.build(str(tmp_path / "none.keras"), SHAPE, 5)
    (tmp_path / "text.keras").write_text("not a model")
    with pytest.raises(errors.UserError, match="not a model that Keras can load"):
        models.build(str(tmp_path / "text.keras"), SHAPE, 5)
    path = save(tmp_path, small_model())
    with pytest.raises(errors.UserError, match=r"outputs of shape \(None, 5\)"):
        models.build(path, SHAPE, 7)
    with pytest.raises(errors.UserError, match="takes inputs of shape"):
        models.build(path, (9, 9, 3), 5)
    flat = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    with pytest.raises(errors.UserError, match="takes inputs of shape"):
        models.build(save(tmp_path, flat), SHAPE, 5)
    inputs = keras.Input(SHAPE)
    two = keras.Model(inputs, [inputs, keras.layers.ReLU()(inputs)])
    with pytest.raises(errors.UserError, match="2 outputs"):
        models.build(save(tmp_path, two), SHAPE, 5)
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    frozen = keras.Model(inputs, pooled)
    with pytest.raises(errors.UserError, match="no trainable weights"):
        models.build(save(tmp_path, frozen), SHAPE, 3)
    with pytest.raises(errors.UserError, match="at least 4 x 4"):
        models.build("resnet20", (3, 8, 1), 5)
