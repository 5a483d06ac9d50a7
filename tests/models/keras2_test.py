"""Files of tf.keras 2, written here as its 2.12 writes them, against TensorFlow."""

import base64
import functools
import io
import json
import marshal
import operator
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import model_file, releases

L = keras.layers
SHAPE = (6, 6, 3)
X = np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype("float32")


def saved(layers, weights, version="2.12.0", also=None):
    """Return a .keras file of (class, name, config, calls) and of arrays by path.

    What is in `also` stands in each layer.
    """
    images = {"batch_input_shape": [None, *SHAPE], "dtype": "float32", "name": "images"}
    described = [("InputLayer", "images", images, []), *layers]
    config = {
        "module": "keras.engine.functional",
        "class_name": "Functional",
        "config": {
            "name": "theirs",
            "layers": [
                {
                    "class_name": kind,
                    "config": {"name": name, "trainable": True, **more},
                    "name": name,
                    "inbound_nodes": calls,
                    **(also or {}),
                }
                for kind, name, more, calls in described
            ],
            "input_layers": [["images", 0, 0]],
            "output_layers": [[described[-1][1], 0, 0]],
        },
        "registered_name": "Functional",
    }
    stored, packed = io.BytesIO(), io.BytesIO()
    with h5py.File(stored, "w") as file:
        file.create_group("_layer_checkpoint_dependencies/input_layer/vars")
        for path, arrays in weights.items():
            group = file.create_group(f"_layer_checkpoint_dependencies/{path}/vars")
            for number, array in enumerate(arrays):
                group[str(number)] = array
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("model.weights.h5", stored.getvalue())
    return model_file.ModelFile("theirs.keras", model_file.KERAS, packed.getvalue())


def numpy(value):
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": "float32"}}


def conv(name, filters, source, **more):
    settings = {"filters": filters, "kernel_size": [3, 3], "padding": "same", **more}
    return "Conv2D", name, settings, [[[source, 0, 0, {}]]]


def call(function, name, *node):
    return "TFOpLambda", name, {"function": function, "dtype": "float32"}, [[*node]]


@pytest.mark.parametrize("twice", [True, False])
def test_weights_numbers_names_and_policies_of_tf_keras_2_are_read(twice):
    rng = np.random.default_rng(1)
    kernels = [rng.normal(size=(3, 3, n, 4)).astype("float32") for n in (3, 4, 4)]
    biases = [rng.normal(size=4).astype("float32") for _ in kernels]
    policy = {"class_name": "Policy", "config": {"name": "float32"}}
    relu = {"max_value": numpy(1.5), "negative_slope": numpy(0.1)}
    layers = [
        conv("stem/conv", 4, "images", dtype=policy),
        ("ReLU", "stem/relu", relu, [[["stem/conv", 0, 0, {}]]]),
        ("SpatialDropout2D", "drop", {"rate": 0.1}, [[["stem/relu", 0, 0, {}]]]),
        conv("stem_conv", 4, "drop"),
        conv("last", 4, "stem_conv"),
        call("__operators__.add", "sum", "last", 0, 0, {"y": ["stem/relu", 0, 0]}),
    ]
    numbers = (0, 2, 4) if twice else (0, 1, 2)  # 2.12 counts what has weights twice.
    weights = {
        f"conv2d_{number}" if number else "conv2d": pair
        for number, pair in zip(numbers, zip(kernels, biases, strict=True), strict=True)
    } | {"re_lu": [], "spatial_dropout2d": [], "tf_op_lambda": []}
    model = releases.load(saved(layers, weights))

    def convolve(x, number):
        return tf.nn.conv2d(x, kernels[number], 1, "SAME") + biases[number]

    first = tf.minimum(tf.nn.leaky_relu(convolve(X, 0), 0.1), 1.5)
    expected = convolve(convolve(first, 1), 2) + first
    np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-4)


BY_CHANNEL = [0.25, -0.5, 3.0]
ALIKE = [
    *((f, {"y": 127.5}) for f in ("math.truediv", "math.divide", "math.multiply")),
    *((f, {"y": BY_CHANNEL}) for f in ("math.add", "math.subtract", "math.truediv")),
    *((f"__operators__.{f}", {"y": 3}) for f in ("add", "sub", "mul", "truediv")),
    ("math.add", {"y": 0.0, "name": None}),
    ("nn.bias_add", {"bias": BY_CHANNEL}),
    *((f"nn.{f}", {"name": None}) for f in ("relu", "silu", "elu", "selu", "tanh")),
    *((f, {}) for f in ("nn.relu6", "math.tanh", "math.sigmoid", "nn.softplus")),
    ("math.reduce_mean", {"axis": [1, 2]}),
    ("math.reduce_mean", {"axis": [1, 2], "keepdims": True}),
]


def their(function):
    if function.startswith("__operators__."):
        return getattr(operator, function.partition(".")[2])
    return functools.reduce(getattr, function.split("."), tf)


@pytest.mark.parametrize(("function", "said"), ALIKE)
def test_a_function_between_layers_does_what_tensorflow_does(function, said):
    model = releases.load(
        saved([call(function, "tf.called", "images", 0, 0, said)], {})
    )
    said = {key: value for key, value in said.items() if value is not None}
    named = "y" in said and function.startswith("__operators__.")
    result = (
        their(function)(X, said["y"])
        if named
        else their(function)(tf.constant(X), **said)
    )
    np.testing.assert_allclose(model(X), result, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("function", ["math.subtract", "math.multiply", "math.add"])
def test_a_constant_may_stand_before_the_images(function):
    node = ["_CONSTANT_VALUE", -1, 1.5, {"y": ["images", 0, 0]}]
    model = releases.load(saved([call(function, "tf.called", *node)], {}))
    np.testing.assert_allclose(model(X), their(function)(1.5, X), rtol=1e-6)


def sliced(part):
    """Return a part of x[...] as tf.keras 2 writes it."""
    if part is Ellipsis:
        return {"class_name": "__ellipsis__"}
    if isinstance(part, int):
        return part
    return {"start": part.start, "stop": part.stop, "step": part.step}


@pytest.mark.parametrize(
    "also", [None, {"module": "keras.src.layers.core.tf_op_layer"}]
)
@pytest.mark.parametrize(
    "key",
    [
        np.s_[..., ::-1],
        np.s_[:, :, :, ::-1],
        np.s_[:, 1:5, ::2, :],
        np.s_[:, :, :, 1],
        np.s_[:, 2, -1],
    ],
)
def test_a_part_of_a_tensor_is_that_part(key, also):
    node = ["images", 0, 0, {"slice_spec": [*map(sliced, key)]}]
    layer = ("SlicingOpLambda", *call("__operators__.getitem", "tf.part", *node)[1:])
    model = releases.load(saved([layer], {}, also=also))
    np.testing.assert_array_equal(model(X), X[key])


SINCE_2_13 = {"module": "keras.layers", "registered_name": None}


def test_the_shape_that_a_first_layer_was_given_is_no_unknown_key():
    kernel = np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype("float32")
    bias = np.zeros(4, "float32")
    layers = [conv("first", 4, "images", batch_input_shape=[None, *SHAPE])]
    file = saved(layers, {"conv2d": (kernel, bias)}, "2.15.0", SINCE_2_13)
    expected = tf.nn.conv2d(X, kernel, 1, "SAME")
    np.testing.assert_allclose(releases.load(file)(X), expected, rtol=1e-4, atol=1e-5)


def test_a_function_of_two_tensors_is_built_for_both():
    double = call("math.add", "sum", "images", 0, 0, {"y": ["images", 0, 0]})
    also = {**SINCE_2_13, "build_config": {"input_shape": [None, *SHAPE]}}
    file = saved([double], {}, "2.15.0", also)
    np.testing.assert_array_equal(releases.load(file)(X), 2 * X)


def test_a_lambda_runs_only_where_that_is_asked():
    code = marshal.dumps((lambda x: 2 * x).__code__)
    settings = {
        "function": [base64.encodebytes(code).decode(), None, None],
        "function_type": "lambda",
        "module": "__main__",
        "output_shape": None,
        "output_shape_type": "raw",
        "output_shape_module": None,
        "arguments": {},
    }
    layers = [("Lambda", "code", settings, [[["images", 0, 0, {}]]])]
    file = saved(layers, {}, "2.15.0", SINCE_2_13)
    with pytest.raises(errors.UserError, match=r"`model.trusted_modules` to 'lambda'"):
        releases.load(file)
    np.testing.assert_array_equal(releases.load(file, "lambda")(X), 2 * X)


@pytest.mark.parametrize(
    "node",
    [
        ("math.reduce_max", "images", 0, 0, {"axis": [1, 2]}),
        ("math.reduce_mean", "images", 0, 0, {"axis": [1]}),
        ("math.truediv", "images", 0, 0, {"y": 0.0}),
        ("math.truediv", "_CONSTANT_VALUE", -1, 1.0, {"y": ["images", 0, 0]}),
        ("nn.leaky_relu", "images", 0, 0, {"alpha": 0.3}),
        (
            "__operators__.getitem",
            *("images", 0, 0, {"slice_spec": [sliced(Ellipsis), 1]}),
        ),
        ("__operators__.getitem", "images", 0, 0, {"slice_spec": [["images", 0, 0]]}),
    ],
)
def test_another_function_is_refused_by_its_name(node):
    file = saved([call(node[0], "tf.called", *node[1:])], {})
    with pytest.raises(errors.UserError, match=rf"`tf\.{node[0]}`.*'tf.called'"):
        releases.load(file)
