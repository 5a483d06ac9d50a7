"""Programs: their description against the HLO itself, and what does not lower."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data import augment
from sam_pod.data.augment import ranges
from sam_pod.lowering import private, programs
from sam_pod.models import network
from sam_pod.step import metrics
from tests import fixtures

REPLICAS, BATCH, SHAPE = 4, 3, (6, 6, 3)
KINDS = {"f32": "float32", "s32": "int32", "s64": "int64", "u8": "uint8"}
STATE = (
    ["step"] + ["weights"] * 5 + ["stats"] * 2 + ["slots"] * 5 + ["learning_rate_scale"]
)


@pytest.fixture(scope="module")
def recipe():
    return fixtures.small_recipe(fixtures.small_model())


@pytest.fixture(scope="module")
def lowered(recipe):
    """Return every program by its name."""
    sizes = {"num_replicas": REPLICAS, "per_replica_batch_size": BATCH}
    alone = {"num_replicas": 1, "per_replica_batch_size": BATCH}
    return {
        "step": programs.train_step(recipe, SHAPE, **sizes),
        "alone": programs.train_step(recipe, SHAPE, **alone),
        "evaluation": programs.evaluation(recipe, SHAPE, **sizes),
        "inference": programs.inference(recipe, SHAPE, batch_size=BATCH),
    }


def text(program):
    return private.XLA_COMPUTATION.get()(program.hlo).as_hlo_text()


def tensors(layout):
    """Return [(dtype, shape)] of a part of HLO's entry layout."""
    return [
        (KINDS[kind], tuple(int(d) for d in dims.split(",") if d))
        for kind, dims in re.findall(r"\b([a-z]+\d+)\[([\d,]*)\]", layout)
    ]


NAMES = ["step", "alone", "evaluation", "inference"]


@pytest.mark.parametrize("name", NAMES)
def test_a_program_takes_and_returns_what_it_says(lowered, name):
    program = lowered[name]
    head = text(program).partition("\n")[0]
    inputs, outputs = head.partition("entry_computation_layout=")[2].split("->")
    assert tensors(inputs) == [(t.dtype, t.shape) for t in program.inputs]
    assert tensors(outputs) == [(t.dtype, t.shape) for t in program.outputs]


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("step", [*STATE, "replica_id", "images", "labels"]),
        ("alone", [*STATE, "images", "labels"]),
        ("evaluation", [*STATE, "replica_id", "images", "labels", "mask"]),
        ("inference", ["weights"] * 5 + ["stats"] * 2 + ["images"]),
    ],
)
def test_inputs_have_their_roles_in_the_order_of_the_state(lowered, name, roles):
    assert [t.role for t in lowered[name].inputs] == roles
    names = [t.name for t in lowered[name].inputs]
    assert len(set(names)) == len(names)


def test_the_state_and_nothing_else_is_updated_in_place(lowered):
    for name in ("step", "alone"):
        program = lowered[name]
        assert [i for i, _ in program.aliases] == list(range(len(STATE)))
        assert {o for _, o in program.aliases} == set(range(len(STATE)))
        for i, o in program.aliases:
            assert program.inputs[i] == program.outputs[o]
        assert program.outputs[-1].shape == (len(metrics.TRAIN),)
    assert lowered["evaluation"].aliases == lowered["inference"].aliases == ()


def test_initial_values_are_what_the_state_describes(recipe):
    values = tf.nest.flatten(programs.initial_values(recipe))
    described = programs.state_tensors(recipe)
    assert [t.role for t in described] == STATE
    for value, tensor in zip(map(np.asarray, values), described, strict=True):
        assert (value.shape, value.dtype.name) == (tensor.shape, tensor.dtype)
        assert value.nbytes == tensor.num_bytes


def test_one_replica_alone_exchanges_nothing(lowered):
    assert "all-reduce(" not in text(lowered["alone"])
    assert "all-reduce(" not in text(lowered["inference"])
    assert "all-reduce(" in text(lowered["step"])
    assert text(lowered["evaluation"]).count(" all-reduce(") == 3


def test_nothing_tells_the_compiler_of_a_tpu_that_is_not_there(lowered):
    for word in ("replicate", "_tpu", "send(", "recv(", "infeed", "custom-call"):
        assert word not in text(lowered["step"]), word


def test_an_operation_is_traced_to_its_line(lowered):
    program = lowered["step"]
    names = [o.name for o in program.graph.get_operations() if o.type == "Conv2D"]
    path, _, line = program.source_line(names[0]).rpartition(":")
    assert path.endswith("sam_pod/models/network.py")
    source = pathlib.Path(path).read_text().splitlines()[int(line) - 1]
    assert "self.model.call(images" in source
    assert program.source_line("no/such/operation") == ""


class Odd(keras.layers.Layer):
    """A layer of any function."""

    def __init__(self, function, **keywords):
        super().__init__(**keywords)
        self.function = function

    def call(self, images):
        return self.function(images)


def odd_model(function):
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3)(images)
    x = Odd(function, name="my_layer")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return network.Network(keras.Model(images, keras.layers.Dense(5)(x)))


def in_python(x):
    y = tf.py_function(lambda t: t, [x], tf.float32)
    return tf.ensure_shape(y, x.shape)


def as_text(x):
    return x + tf.strings.to_number(tf.strings.as_string(tf.reduce_sum(x)))


def without_gradient(x):
    return x * tf.reduce_sum(tf.unique(tf.reshape(x, [-1]))[0])


def wrong_when_called(x):
    if tf.inside_function() and x.shape[0] is not None:
        raise ValueError("no such thing")
    return x


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (in_python, ["EagerPyFunc in my_layer", "no XLA kernel"]),
        (as_text, ["AsString in my_layer", "no XLA kernel"]),
        (without_gradient, ["Unique has no gradient"]),
        (wrong_when_called, ["Odd.call", "no such thing"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_does_not_lower_names_layer_and_operation(function, words):
    with pytest.raises(errors.UserError) as caught:
        programs.train_step(
            fixtures.small_recipe(odd_model(function)),
            SHAPE,
            num_replicas=REPLICAS,
            per_replica_batch_size=BATCH,
        )
    line = str(caught.value)
    assert line.startswith("The model does not compile for a TPU: ")
    assert "\n" not in line and "\x1b" not in line and len(line) < 600
    for word in words:
        assert word in line, line


def test_a_mistake_of_ours_is_no_fault_of_the_model(recipe):
    class Broken(ranges.Range):
        def of_uint8(self, images):
            raise ValueError("ours")

    broken = fixtures.small_recipe(recipe.network, input_range=Broken())
    with pytest.raises(ValueError, match="ours") as caught:
        programs.inference(broken, SHAPE, batch_size=BATCH)
    assert not isinstance(caught.value, errors.UserError)
    assert augment.to_float(np.uint8([255])).numpy() == 1
