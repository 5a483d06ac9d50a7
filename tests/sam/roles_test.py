"""The role of each weight of Keras' own layers, wherever in a model they stand."""

import collections

import keras
import pytest
from keras import layers

from sam_pod.models import batch_norm, network, resnet20
from sam_pod.sam import roles
from sam_pod.sam.roles import Role

KERNEL, SLOPE, BIAS, SCALE, OFFSET = Role


def of(layer, shape=(4, 4, 3)):
    images = keras.Input(shape)
    return roles.of(keras.Model(images, layer(images)))


class Renamed(layers.BatchNormalization):
    """A normalization by another name."""


@pytest.mark.parametrize(
    "kind",
    [
        layers.BatchNormalization,
        batch_norm.FusedBatchNormalization,
        Renamed,
        layers.LayerNormalization,
        layers.GroupNormalization,
    ],
)
def test_a_normalization_has_a_scale_and_an_offset(kind):
    groups = {"groups": 1} if kind is layers.GroupNormalization else {}
    assert of(kind(name="kernel", **groups)) == (SCALE, OFFSET)
    assert of(kind(scale=False, **groups)) == (OFFSET,)
    assert of(kind(center=False, **groups)) == (SCALE,)


def test_a_normalization_over_several_axes_has_no_kernel():
    assert of(layers.LayerNormalization(axis=[1, 2, 3])) == (SCALE, OFFSET)


def test_a_root_mean_square_has_a_scale():
    assert of(layers.RMSNormalization()) == (SCALE,)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Dense(3), [KERNEL, BIAS]),
        (layers.Dense(3, use_bias=False, name="batch_norm"), [KERNEL]),
        (layers.Conv2D(2, 3), [KERNEL, BIAS]),
        (layers.DepthwiseConv2D(3), [KERNEL, BIAS]),
        (layers.SeparableConv2D(2, 3), [KERNEL, KERNEL, BIAS]),
        (layers.SpectralNormalization(layers.Conv2D(2, 3)), [KERNEL, BIAS]),
        (layers.PReLU(), [SLOPE]),
        (layers.PReLU(shared_axes=[1, 2]), [SLOPE]),
        (layers.TimeDistributed(layers.Dense(3)), [KERNEL, BIAS]),
    ],
)
def test_other_layers_of_images(layer, expected):
    assert of(layer) == tuple(expected)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"),
            [KERNEL, BIAS],
        ),
        (layers.PReLU(shared_axes=[1]), [SLOPE]),
        (layers.GRU(3), [KERNEL, KERNEL, BIAS]),  # Whose bias has two rows.
        (layers.LSTM(3), [KERNEL, KERNEL, BIAS]),
    ],
)
def test_a_bias_is_one_whatever_its_dimensions(layer, expected):
    assert of(layer, (4, 6)) == tuple(expected)


def test_the_biases_of_attention_are_of_its_heads():
    x = keras.Input((4, 6))
    model = keras.Model(x, layers.MultiHeadAttention(2, 3)(x, x))
    assert roles.of(model) == (KERNEL, BIAS) * 4


def test_an_embedding_is_looked_up():
    assert of(layers.Embedding(10, 3), (4,)) == (KERNEL,)


def test_layers_are_found_in_models_in_models():
    x = keras.Input((6,))
    inner = keras.Sequential([layers.Dense(3), layers.LayerNormalization()])
    shared = layers.BatchNormalization()
    functional = keras.Model(x, inner(shared(shared(x))))
    outer = keras.Sequential([functional, layers.Dense(2)])
    outer.build((None, 6))
    assert roles.of(outer) == (SCALE, OFFSET, KERNEL, BIAS, SCALE, OFFSET, KERNEL, BIAS)


def test_what_is_frozen_is_no_weight():
    x = keras.Input((6,))
    frozen = layers.LayerNormalization(trainable=False)
    model = keras.Model(x, layers.Dense(2)(layers.BatchNormalization()(frozen(x))))
    assert network.Network(model).roles() == (SCALE, OFFSET, KERNEL, BIAS)
    assert len(network.Network(model).initial_weights()) == 4


def transformer():
    """Return a small vision transformer, with a scale of its residuals."""
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 4, strides=4)(images)
    x = layers.Reshape((4, 6))(x)
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 3)(y, y)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(6)(layers.Dense(12, "gelu")(y))
    x = layers.LayerNormalization()(layers.Add()([x, y]))
    outputs = layers.Dense(5)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(images, outputs)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (transformer, {KERNEL: 8, BIAS: 8, SCALE: 3, OFFSET: 3}),
        (
            lambda: resnet20.build((8, 8, 3), 4, "float32"),
            {KERNEL: 23, BIAS: 23, SCALE: 20, OFFSET: 20},
        ),
        pytest.param(
            lambda: keras.applications.ResNet50(weights=None),
            {KERNEL: 54, BIAS: 54, SCALE: 53, OFFSET: 53},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_counts_in_whole_networks(build, expected):
    assert collections.Counter(roles.of(build())) == expected
