"""Products with the Hessian: against NumPy in float64, through every layer of ours."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data import augment
from sam_pod.instruments import moments, products
from sam_pod.machines import tracing
from sam_pod.models import batch_norm, network, pointwise
from sam_pod.step import losses
from tests import fixtures, numpy_net

STEP = 1e-5  # Of central differences, in float64.


def numpy_product(weights, vector, x, y):
    """Return H v as the central difference of NumPy's own gradient."""

    def gradient(sign):
        moved = [w + sign * STEP * v for w, v in zip(weights, vector, strict=True)]
        return numpy_net.loss_and_gradient(moved, x, y)[1]

    pairs = zip(gradient(1), gradient(-1), strict=True)
    return np.concatenate([((a - b) / (2 * STEP)).ravel() for a, b in pairs])


def our_product(net, weights, vector, x, y, *, key=(0, 0)):
    stats = [tf.constant(s) for s in net.initial_stats().values()]
    key = None if key is None else tf.constant(key)

    @tf.function(autograph=False)
    def run(weights, vector):
        def loss_fn(weights):
            images = augment.to_float(x)
            logits = net.apply(weights, stats, images, key=key).logits
            return tf.reduce_mean(losses.cross_entropy(logits, y))

        return products.product(loss_fn, weights, vector)[1]

    tensors = [[tf.constant(a, tf.float32) for a in part] for part in (weights, vector)]
    with moments.differentiable_twice():
        return products.join([part.numpy() for part in run(*tensors)])


def vectors(weights, count, seed=0):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=np.shape(w)) for w in weights] for _ in range(count)]


def example(net):
    ((x, y),) = fixtures.batches(1, 16)
    weights = [np.asarray(w, np.float64) for w in net.initial_weights().values()]
    return x, y, weights


@pytest.mark.parametrize("is_for_a_tpu", [False, True])
def test_products_through_a_batchs_statistics_equal_numpy(is_for_a_tpu, monkeypatch):
    """The fused operation, and what a TPU gets instead, which has its own gradient."""
    monkeypatch.setattr(tracing, "is_for_a_tpu", lambda: is_for_a_tpu)
    net = fixtures.small_model()
    x, y, weights = example(net)
    for vector in vectors(weights, 4):
        expected = numpy_product(weights, vector, x / 255.0, y)
        found = our_product(net, weights, vector, x, y)
        difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert difference < 2e-4


def test_the_whole_hessian_is_symmetric_and_that_of_numpy():
    net = fixtures.small_model()
    x, y, weights = example(net)
    shapes = [w.shape for w in weights]
    size = sum(w.size for w in weights)
    columns = [products.split(e, shapes) for e in np.eye(size)]
    expected = np.stack([numpy_product(weights, e, x / 255.0, y) for e in columns])
    pairs = [vectors(weights, 1, seed)[0] for seed in (1, 2)]
    u, v = (products.join(p) for p in pairs)
    of_u, of_v = (our_product(net, weights, p, x, y) for p in pairs)
    assert u @ of_v == pytest.approx(v @ of_u, rel=1e-4)
    np.testing.assert_allclose(of_u, expected @ u, atol=3e-4 * np.abs(of_u).max())


def layers_apart(make, shape=(6, 6, 3), classes=5):
    """Return a net around a layer, and its weights, from a seed."""
    keras.utils.set_random_seed(3)
    images = keras.Input(shape)
    x = keras.layers.Conv2D(4, 3, activation="tanh")(images)
    x = keras.layers.Activation("tanh")(make()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return network.Network(keras.Model(images, keras.layers.Dense(classes)(x)))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (batch_norm.FusedBatchNormalization, keras.layers.BatchNormalization),
        *(
            (
                lambda cut=cut: pointwise.StridedPointwiseConv2D(
                    6, 1, strides=2, cuts_for=cut
                ),
                lambda: keras.layers.Conv2D(6, 1, strides=2),
            )
            for cut in ("output", "kernel_gradient")
        ),
    ],
)
def test_products_through_a_layer_of_ours_are_those_through_keras_own(ours, theirs):
    net, other = layers_apart(ours), layers_apart(theirs)
    x, y, weights = example(net)
    (vector,) = vectors(weights, 1)
    found = our_product(net, weights, vector, x, y)
    expected = our_product(other, weights, vector, x, y)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_vector_is_cut_and_joined_in_the_order_of_the_weights():
    vector = np.arange(11.0)
    parts = products.split(vector, [(2, 3), (), (4,)])
    assert [part.shape for part in parts] == [(2, 3), (), (4,)]
    np.testing.assert_array_equal(products.join(parts), vector)


def test_a_layer_that_cannot_be_differentiated_twice_is_named():
    def make():
        return keras.layers.UpSampling2D(interpolation="bilinear", name="larger")

    net = layers_apart(make)
    x, y, weights = example(net)
    (vector,) = vectors(weights, 1)
    stats = [tf.constant(s) for s in net.initial_stats().values()]

    @tf.function(autograph=False)
    def run(weights, vector):
        def loss_fn(weights):
            logits = net.apply(weights, stats, augment.to_float(x)).logits
            return tf.reduce_mean(losses.cross_entropy(logits, y))

        try:
            return products.product(loss_fn, weights, vector)[1]
        except LookupError as error:
            raise products.refusal(error, net.model) from error

    tensors = [[tf.constant(a, tf.float32) for a in part] for part in (weights, vector)]
    with pytest.raises(errors.UserError, match="ResizeBilinearGrad, of layer 'larger'"):
        run(*tensors)
