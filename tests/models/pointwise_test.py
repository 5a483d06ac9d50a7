"""The shortcut's convolution against Keras', and as part of a file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.models import pointwise


def pair(strides, dtype="float32", cuts_for="output"):
    """Return the layer and Keras', with the same weights."""
    words = {"strides": strides, "padding": "same", "dtype": dtype}
    layers = (
        pointwise.StridedPointwiseConv2D(5, 1, cuts_for=cuts_for, **words),
        keras.layers.Conv2D(5, 1, **words),
    )
    for layer in layers:
        layer.build((None, 8, 9, 3))
        random = np.random.default_rng(0)
        layer.set_weights([random.normal(size=w.shape) for w in layer.get_weights()])
    return layers


WHERE = ["output", "kernel_gradient"]


@pytest.mark.parametrize("cuts_for", WHERE)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("strides", [(2, 2), (3, 2), (1, 1)])
@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (2, 7, 9, 3)])
def test_outputs_and_gradients_are_those_of_keras(shape, strides, compiled, cuts_for):
    x = tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)
    found = []
    for layer in pair(strides, cuts_for=cuts_for):

        @tf.function(jit_compile=compiled, autograph=False)
        def run(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
                loss = tf.reduce_sum(tf.sin(y))
            kernel, bias = (weight.value for weight in layer.weights)
            return y, *tape.gradient(loss, [x, kernel, bias])

        found.append([part.numpy() for part in run(x)])
    for ours, keras_own in zip(*found, strict=True):
        assert ours.shape == keras_own.shape
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-5)


def test_its_numbers_are_those_of_its_policy():
    layer, keras_own = pair((2, 2), "mixed_bfloat16")
    x = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype(np.float32)
    assert layer(x).dtype == keras_own(x).dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    np.testing.assert_allclose(
        tf.cast(layer(x), tf.float32), tf.cast(keras_own(x), tf.float32), rtol=0.02
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cuts_for", WHERE)
def test_what_xla_compiles_is_cut_once_and_nothing_is_padded(cuts_for, compiled):
    layer, _ = pair((2, 2), cuts_for=cuts_for)

    @tf.function(autograph=False, jit_compile=compiled)
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, [x, layer.kernel.value])

    graph = run.get_concrete_function(tf.TensorSpec([4, 8, 8, 3])).graph
    operations = {op.type: op for op in graph.get_operations()}
    cut, whole = [4, 4, 4, 3], [4, 8, 8, 3]
    expected = (cut, whole) if cuts_for == "output" else (whole, cut)
    expected = expected if compiled else (whole, whole)
    for kind, shape in zip(("Conv2D", "Conv2DBackpropFilter"), expected, strict=True):
        assert operations[kind].inputs[0].shape == shape
    assert operations["Conv2DBackpropInput"].outputs[0].shape == whole
    assert "StridedSliceGrad" not in operations
    assert ("StridedSlice" in operations) == compiled


def test_a_file_keeps_it(tmp_path):
    layer, _ = pair((2, 2), cuts_for="kernel_gradient")
    inputs = keras.Input((8, 9, 3))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    read = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(2).normal(size=(2, 8, 9, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(x), read(x))
    assert read.layers[1].strides == (2, 2)
    assert read.layers[1].cuts_for == "kernel_gradient"


@pytest.mark.parametrize(
    "words", [{"kernel_size": 3}, {"kernel_size": 1, "data_format": "channels_first"}]
)
def test_what_it_does_not_compute_is_refused(words):
    with pytest.raises(ValueError, match=r"must be \(1, 1\) and 'channels_last'"):
        pointwise.StridedPointwiseConv2D(4, strides=2, **words)


def test_nothing_to_cut_for_is_refused():
    with pytest.raises(
        ValueError, match=r"'input'; take 'output' or 'kernel_gradient'"
    ):
        pointwise.StridedPointwiseConv2D(4, 1, strides=2, cuts_for="input")
