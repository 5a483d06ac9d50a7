"""Models from files: what can be trained is, what cannot is refused in one line."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import model_file, table
from tests.models import network_test

SHAPE = network_test.SHAPE


def save(tmp_path, model):
    path = str(tmp_path / "model.keras")
    model.save(path)
    return path


def dense(**arguments):
    inputs = keras.Input(SHAPE)
    x = keras.layers.Flatten()(inputs)
    return inputs, keras.layers.Dense(5, **arguments)(x)


def build(tmp_path, model, **arguments):
    return table.build(save(tmp_path, model), SHAPE, 5, **arguments)


def logits(net, images):
    return network_test.call(net, images).logits


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("saved", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("softmax", [True, False])
def test_is_trained_from_its_weights_in_the_dtype_asked_for(
    tmp_path, softmax, saved, dtype
):
    keras.config.set_dtype_policy(saved)
    try:
        model = network_test.small_model(softmax=softmax)
    finally:
        keras.config.set_dtype_policy("float32")
    net = build(tmp_path, model, dtype=dtype)
    for mine, stored in zip(
        net.initial_weights().values(), model.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(mine, stored.numpy())
    images = network_test.images()
    ours = logits(net, images)
    assert ours.dtype == tf.float32
    expected = tf.cast(model(images), tf.float32)
    tolerance = 1e-5 if saved == dtype == "float32" else 0.1
    np.testing.assert_allclose(
        tf.nn.softmax(ours) if softmax else ours, expected, atol=tolerance
    )
    convolution, *_, last = [x for x in net.model.layers if x.weights]
    assert convolution.compute_dtype == dtype
    assert last.compute_dtype == "float32"


def test_one_output_in_a_dict_is_an_output(tmp_path):
    inputs, outputs = dense()
    base = keras.Model(inputs, {"logits": outputs})
    net = build(tmp_path, base)
    images = network_test.images()
    np.testing.assert_allclose(logits(net, images), base(images)["logits"], rtol=1e-5)


def test_a_softmax_layer_at_the_end_is_taken_off(tmp_path):
    inputs, outputs = dense()
    base = keras.Model(inputs, outputs)
    net = build(tmp_path, keras.Model(inputs, keras.layers.Softmax()(outputs)))
    images = network_test.images()
    np.testing.assert_allclose(logits(net, images), base(images), rtol=1e-5)


def test_a_softmax_inside_stays(tmp_path):
    inputs, outputs = dense(activation="softmax")
    model = keras.Model(inputs, keras.ops.log(outputs + 1e-7))
    net = build(tmp_path, model)
    images = network_test.images()
    np.testing.assert_allclose(logits(net, images), model(images), rtol=1e-5)


def functional_softmax():
    inputs, outputs = dense()
    return keras.Model(inputs, 1.0 * keras.ops.softmax(outputs))


def never_built():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5)])


def two_outputs():
    inputs, outputs = dense()
    return keras.Model(inputs, [outputs, keras.layers.ReLU()(outputs)])


def dict_of_outputs():
    inputs, outputs = dense()
    features = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, {"features": features, "logits": outputs})


def two_inputs():
    inputs, outputs = dense()
    age = keras.Input((1,), name="age")
    return keras.Model({"image": inputs, "age": age}, outputs + age)


def integer_input():
    inputs = keras.Input(SHAPE, dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Flatten()(x)))


def no_weights():
    inputs = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Concatenate()([x, x[:, :2]]))


def spectral():
    inputs = keras.Input(SHAPE)
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(5))
    return keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))


def regularized_softmax(end=None):
    inputs, outputs = dense()
    end = end or keras.layers.Softmax(activity_regularizer="l2", name="end")
    return keras.Model(inputs, end(outputs))


def regularized_within():
    """Return a model whose head is a model, with an activation that regularizes."""
    end = keras.layers.Activation("softmax", activity_regularizer="l2", name="end")
    head = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5), end])
    return regularized_softmax(head)


def quantized():
    model = keras.Model(*dense())
    model.quantize("int8")
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (functional_softmax, "gives probabilities"),
        (never_built, "0 inputs.* call it on images"),
        (two_outputs, r"2 outputs.*save .*model\.output\[0\]\)"),
        (dict_of_outputs, r"2 outputs.*\['logits'\]\).*'features' \(None, \d+\)"),
        (two_inputs, r"2 inputs.*'image' \(None.*'age' \(None, 1\); save a model of"),
        (integer_input, r"inputs of type uint8.*keras\.Input\(\(\d+, \d+, 3\)\)"),
        (no_weights, "no trainable weights"),
        (quantized, "quantized|float32"),
        (spectral, "writes its weight .*/kernel .* divides by the norm"),
        (regularized_softmax, "layer 'end' regularizes probabilities .*save the model"),
        (regularized_within, "layer 'end' regularizes probabilities"),
        (
            lambda: keras.Model(
                *dense(activation="softmax", activity_regularizer="l1")
            ),
            "regularizes probabilities",
        ),
        (lambda: keras.Model(*dense(dtype="float16")), "weights of type float16"),
        (lambda: keras.Model(*dense(kernel_constraint="max_norm")), "a constraint on"),
    ],
)
def test_what_cannot_be_trained_as_it_is_is_refused(tmp_path, make, message):
    with pytest.raises(errors.UserError, match=message) as raised:
        build(tmp_path, make())
    assert "\n" not in str(raised.value)


def test_what_does_not_fit_the_data_is_refused(tmp_path):
    path = save(tmp_path, keras.Model(*dense()))
    with pytest.raises(errors.UserError, match=r"outputs of shape \(None, 5\)"):
        table.build(path, SHAPE, 7)
    with pytest.raises(errors.UserError, match="takes inputs of shape"):
        table.build(path, (9, 9, 3), 5)
    images = keras.Input(batch_shape=(16, *SHAPE))
    fixed = keras.Model(images, keras.layers.Dense(5)(keras.layers.Flatten()(images)))
    with pytest.raises(errors.UserError, match=r"batches have 16 examples .* keras"):
        build(tmp_path, fixed)
    flat = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    with pytest.raises(errors.UserError, match="takes inputs of shape"):
        build(tmp_path, flat)


@pytest.mark.parametrize("name", ["odd name", "x[1]", "a,b", "schön"])
def test_a_layers_name_that_does_not_compile_is_named(name, tmp_path):
    images = keras.Input(SHAPE)
    x = keras.layers.Dense(5, name=name)(keras.layers.Flatten()(images))
    with pytest.raises(errors.UserError, match=r"a layer named .*Rename it") as refused:
        build(tmp_path, keras.Model(images, x))
    assert repr(name) in str(refused.value)


def test_names_and_digests(tmp_path):
    table.check_name("resnet20")
    assert model_file.digest("resnet20") == ""
    with pytest.raises(errors.UserError, match=r"'resnet-20'.*Did you mean 'resnet20'"):
        table.check_name("resnet-20")
    with pytest.raises(errors.UserError, match="which is not there"):
        table.check_name(str(tmp_path / "none.keras"))
    (tmp_path / "text.keras").write_text("not a model")
    with pytest.raises(errors.UserError, match=r"which is not a \.keras file"):
        table.check_name(str(tmp_path / "text.keras"))
    path = save(tmp_path, keras.Model(*dense()))
    table.check_name(path)
    first = model_file.digest(path)
    assert len(first) == 64
    save(tmp_path, keras.Model(*dense()))
    assert model_file.digest(path) != first


def test_a_damaged_file_is_refused(tmp_path):
    path = save(tmp_path, keras.Model(*dense()))
    file = pathlib.Path(path)
    content = bytearray(file.read_bytes())
    content[200:260] = bytes(60)
    file.write_bytes(content)
    with pytest.raises(errors.UserError, match="not a model that Keras can load"):
        table.build(path, SHAPE, 5)


def test_statistics_keep_their_type_in_bfloat16(tmp_path):
    inputs = keras.Input(SHAPE)
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(6))
    x = layer(keras.layers.Flatten()(inputs))
    layer.trainable = False  # What it writes is a statistic then.
    model = keras.Model(inputs, keras.layers.Dense(5)(x))
    net = build(tmp_path, model, dtype="bfloat16")
    outputs = network_test.call(net, network_test.images(), key=tf.constant([0, 1]))
    for new, old in zip(outputs.stats, net.initial_stats().values(), strict=True):
        assert new.dtype == old.dtype


def ends_in_a_model():
    head = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(5, name="h")]
    )
    images = keras.Input(SHAPE)
    return keras.Model(images, head(keras.layers.Conv2D(3, 1, name="body")(images)))


def ends_behind_its_logits():
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(3, 1, name="body")(images)
    x = keras.layers.Conv2D(5, 1, name="h")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x) / 2.0)


@pytest.mark.parametrize("make", [ends_in_a_model, ends_behind_its_logits])
def test_the_layer_of_the_logits_is_float32_wherever_it_stands(make, tmp_path):
    net = build(tmp_path, make(), dtype="bfloat16")
    types = {x.name: x.compute_dtype for x in net.model._flatten_layers()}
    assert (types["body"], types["h"]) == ("bfloat16", "float32")
    assert net.model(network_test.images()).dtype == tf.float32
