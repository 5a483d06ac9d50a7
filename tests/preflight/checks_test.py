"""Each check has a real step that fails it, and it alone; others pass it."""

import dataclasses
import inspect
import pathlib
import re

import pytest
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from sam_pod import errors
from sam_pod.preflight import checks
from tests import fixtures
from tests.preflight import steps
from tests.preflight.programs import needs_libtpu

HERE = pathlib.Path(__file__).name
GRADIENT = 4 * (3 * 3 * 3 * 4 + 4 + 4 + 4 * 5 + 5)  # Bytes, of fixtures.small_model.


def failed(found):
    return [check.name for check in found if not check.is_passed]


def failed_before_compilation(measured, dtype="float32"):
    """Return the failed checks that look at the program before it is compiled."""
    return [
        check
        for check in (
            checks.no_host_transfer(measured),
            checks.no_dynamic_shape(measured),
            checks.no_float64(measured),
            checks.no_silent_upcast(measured, dtype),
            checks.collectives(measured),
        )
        if not check.is_passed
    ]


def odd(fn, dtype="float32"):
    return steps.lowered(fixtures.small_recipe(steps.net(fn, dtype)))


def names_line_of(fn, detail):
    """Return whether a detail names this file and a line of the function's body."""
    lines, first = inspect.getsourcelines(fn)
    named = re.search(rf"{re.escape(HERE)}:(\d+)\)", detail)
    return bool(named) and first < int(named[1]) < first + len(lines)


@needs_libtpu
def test_a_sound_step_passes_every_check():
    found = checks.of_step(steps.sam_step(), steps.plain_step(), "float32")
    assert failed(found) == []
    assert len({check.name for check in found}) == len(found) == 9
    assert failed(checks.of_step(steps.plain_step(), None, "float32")) == []


@pytest.mark.parametrize("parts", [{"accumulate_steps": 2}, {"micro_batches": 2}])
def test_a_batch_in_parts_passes_every_check_before_compilation(parts):
    assert (
        failed_before_compilation(steps.lowered(steps.small(sync="2", **parts))) == []
    )


def with_callback(x):
    @tf.custom_gradient
    def call(x):
        (y,) = gen_xla_ops.xla_custom_call_v2(
            operands=[x],
            call_target_name="xla_python_cpu_callback",
            backend_config="",
            has_side_effect=True,
            result_dtypes=[x.dtype],
            result_shapes=[x.shape],
        )
        return tf.ensure_shape(y, x.shape), lambda grad: grad

    return call(x)


@needs_libtpu
def test_a_call_that_the_compiler_does_not_know_does_not_compile():
    program = steps.lower(fixtures.small_recipe(steps.net(with_callback)))
    measured = steps.compiled(program)
    check = checks.compiles(measured)
    assert not check.is_passed
    assert "xla_python_cpu_callback" in check.detail
    names = failed(checks.of_step(measured, steps.plain_step(), "float32"))
    # What was not compiled neither fits, nor donates, nor has a cost.
    assert names == [
        "compiles",
        "fits",
        "no host transfer",
        "state donated",
        "FLOPs at most 2.05 x plain",
    ]


def sends(x):
    gen_xla_ops.xla_send(tensor=x, tensor_name="x")
    return x


def receives(x):
    @tf.custom_gradient
    def add(x):
        y = gen_xla_ops.xla_recv(dtype=x.dtype, tensor_name="y", shape=[1, 1, 1, 1])
        return x + y, lambda grad: grad

    return add(x)


@pytest.mark.parametrize("fn", [sends, receives, with_callback])
def test_a_host_transfer_is_named_with_its_layer_and_line(fn):
    (check,) = failed_before_compilation(odd(fn))
    assert check.name == "no host transfer"
    assert " odd_1/Xla" in check.detail
    assert names_line_of(fn, check.detail)


def test_a_layer_that_is_called_host_is_no_host_transfer():
    def hostess(x):
        with tf.name_scope("host_callback"):
            return tf.linalg.qr(x)[0]  # A custom call of XLA's CPU backend.

    assert checks.no_host_transfer(odd(hostess)).is_passed


def where(x):
    return x + tf.reduce_sum(tf.cast(tf.where(x > 0), x.dtype))


def mask(x):
    return x * tf.reduce_mean(tf.boolean_mask(x, x > 0))


def unique(x):
    return x + tf.cast(tf.size(tf.unique(tf.reshape(x, [-1])).y), x.dtype)


def part(x):
    return x + tf.reduce_sum(x[:, : tf.cast(tf.reduce_sum(x) > 0, tf.int32) + 2])


@pytest.mark.parametrize(
    "fn",
    [where, *(pytest.param(fn, marks=pytest.mark.slow) for fn in (mask, unique, part))],
)
def test_a_dynamic_shape_is_named_with_its_layer_and_line(fn):
    (check,) = failed_before_compilation(odd(fn))
    assert check.name == "no dynamic shape"
    assert " odd_1/" in check.detail
    assert names_line_of(fn, check.detail)


def ranges(x):
    return x + tf.cast(tf.size(tf.range(tf.cast(x[0, 0, 0, 0], tf.int32))), x.dtype)


def leaves_tensorflow(x):
    return tf.ensure_shape(tf.numpy_function(lambda a: a, [x], x.dtype), x.shape)


@pytest.mark.parametrize(
    ("fn", "operation"), [(ranges, "odd_1/range"), (leaves_tensorflow, "odd_1/PyFunc")]
)
def test_what_does_not_even_lower_is_refused_with_its_layer(fn, operation):
    with pytest.raises(errors.UserError, match=f"does not compile.*{operation}"):
        odd(fn)


def doubled_in_float64(x):
    return tf.cast(2 * tf.cast(x, tf.float64), x.dtype)


def test_float64_is_named_with_its_layer_and_line():
    (check,) = failed_before_compilation(odd(doubled_in_float64))
    assert check.name == "no float64"
    assert " odd_1/" in check.detail
    assert names_line_of(doubled_in_float64, check.detail)


def convolved_in_float32(x):
    return tf.cast(
        tf.nn.conv2d(tf.cast(x, tf.float32), tf.ones([1, 1, 4, 4]), 1, "SAME"), x.dtype
    )


def test_a_float32_convolution_is_named_under_bfloat16():
    assert (
        failed_before_compilation(odd(tf.nn.relu, "mixed_bfloat16"), dtype="bfloat16")
        == []
    )
    measured = odd(convolved_in_float32, "mixed_bfloat16")
    (check,) = failed_before_compilation(measured, dtype="bfloat16")
    assert check.name == "no silent upcast"
    # Once, not once for each pass and gradient, and with no other layer beside it.
    assert check.detail.count("odd_1/Conv2D") == check.detail.count("convolution") == 1
    assert names_line_of(convolved_in_float32, check.detail)
    assert failed_before_compilation(measured, dtype="float32") == []


def test_a_float32_layer_of_keras_is_named_under_bfloat16():
    (check,) = failed_before_compilation(odd(tf.nn.relu), dtype="bfloat16")
    assert check.detail == "in float32: convolution first_1/convolution"


@pytest.mark.slow
@needs_libtpu
def test_three_gradients_cost_more_than_sam(monkeypatch):
    steps.ascends_twice(monkeypatch)
    measured = steps.compiled(steps.lower(steps.small()))
    found = checks.of_step(measured, steps.plain_step(), "float32")
    assert failed(found) == ["FLOPs at most 2.05 x plain"]
    assert 2.7 < float(found[-1].detail) < 3.05


@pytest.mark.slow
@needs_libtpu
@pytest.mark.parametrize("kept", [0, 3])
def test_a_state_that_is_not_donated_is_copied(kept):
    program = steps.lower(steps.small())
    copied = dataclasses.replace(program, aliases=program.aliases[:kept])
    found = checks.of_step(steps.compiled(copied), steps.plain_step(), "float32")
    assert failed(found) == ["state donated"]
    (check,) = (check for check in found if not check.is_passed)
    names = [t.name for t in program.inputs[kept : kept + 3]]
    assert check.detail.startswith(f"copied: {', '.join(names)} and ")
    assert check.detail.endswith(f"and {len(program.aliases) - kept - 3} more")
