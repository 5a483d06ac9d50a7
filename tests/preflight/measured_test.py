"""What is read from a program and from its compilation."""

import dataclasses

import keras
import pytest
import tensorflow as tf

from sam_pod.models import network
from tests import fixtures
from tests.preflight import steps
from tests.preflight.programs import needs_libtpu


def nested():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input(steps.SHAPE), keras.layers.Conv2D(4, 3), keras.layers.Flatten()]
    )
    images = keras.Input(steps.SHAPE)
    head = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(6), keras.layers.Dense(5)]
    )
    return keras.Model(images, head(inner(images)))


def branched():
    images = keras.Input(steps.SHAPE)
    left = keras.layers.Conv2D(4, 3, name="left")(images)
    right = keras.layers.Conv2D(4, 3, name="right")(images)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([left, right]))
    x = keras.layers.Dense(6, name="dense_1")(x)
    return keras.Model(images, keras.layers.Dense(5, name="dense")(x))


def all_convolutional():
    images = keras.Input(steps.SHAPE)
    x = keras.layers.Conv2D(4, 3, name="conv")(images)
    x = keras.layers.Conv2D(5, 3, name="conv_1")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("build", [nested, branched, all_convolutional])
@pytest.mark.parametrize("chunks", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_products_of_the_last_layer_are_told_from_those_of_any_other(build, chunks):
    """By shape: only the last layer's have five classes among their sides."""
    recipe = fixtures.small_recipe(network.Network(build()), accumulate_steps=chunks)
    measured = steps.lowered(recipe)
    products = [
        i for i in measured.lowered.instructions() if i.opcode in ("convolution", "dot")
    ]
    shapes = {
        i.name: i.shapes[0].dims for i in measured.lowered.instructions() if i.shapes
    }
    of_last = [
        any(5 in shapes[name] for name in (i.name, *i.operands)) for i in products
    ]
    assert [measured.is_of_last_layer(i.op_name) for i in products] == of_last
    assert of_last.count(True) == 6  # Forward and two gradients, in each pass.
    assert of_last.count(False) >= 4


def test_a_program_says_its_batch_gradient_and_state():
    measured = steps.lowered(steps.small(), batch=8)
    assert measured.per_replica_batch_size == 8
    weights = 4 * (3 * 3 * 3 * 4 + 4 + 4 + 4 * 5 + 5)
    assert measured.gradient_bytes == weights
    # Weights, velocities, moving mean and variance, the step and a scale.
    assert measured.state_bytes == 2 * weights + 2 * 4 * 4 + 8 + 4
    assert measured.donated_inputs == set()  # It was not compiled.


def test_an_error_that_is_not_of_memory_leaves_the_need_unknown():
    measured = steps.lowered(steps.small(), error="INVALID_ARGUMENT: no")
    assert measured.needed_bytes is None
    assert measured.limit_bytes == 16 * 2**30


@needs_libtpu
def test_a_compiled_step_donates_what_it_was_told_to():
    measured = steps.sam_step()
    donated = {i for i, _ in measured.program.aliases}
    assert measured.donated_inputs == donated
    roles = {measured.program.inputs[i].role for i in donated}
    assert roles == {"step", "weights", "stats", "slots", "learning_rate_scale"}
    fewer = dataclasses.replace(measured.program, aliases=((1, 1),))
    assert steps.compiled(fewer).donated_inputs == {1}


def test_the_line_of_an_operation_is_the_user_s():
    def odd(x):
        return tf.linalg.diag_part(tf.matmul(x, x))[..., None] + x

    measured = steps.lowered(fixtures.small_recipe(steps.net(odd)))
    line = odd.__code__.co_firstlineno + 1
    for name in ("odd_1/MatMul", "odd_1/MatrixDiagPartV3"):
        assert measured.program.source_line(name) in (f"{__file__}:{line}", "")
    names = {i.op_name for i in measured.lowered.instructions()}
    of_layer = [name for name in names if name.startswith("odd_1/")]
    assert of_layer
    for name in of_layer:
        assert measured.program.source_line(name) == f"{__file__}:{line}"
