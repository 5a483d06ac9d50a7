"""What does not fit says so, by how much, and which batch would."""

import pytest
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from sam_pod.preflight import checks
from tests import fixtures
from tests.preflight import steps
from tests.preflight.programs import needs_libtpu


def failed(found):
    return [check.name for check in found if not check.is_passed]


def widens(x):
    y = x[:, None] * tf.range(2**20, dtype=x.dtype)[None, :, None, None, None]
    (y,) = gen_xla_ops.xla_optimization_barrier([y])
    return x + tf.reduce_mean(tf.sin(y), 1)


@needs_libtpu
@pytest.mark.slow
def test_the_compiler_says_what_does_not_fit():
    recipe = fixtures.small_recipe(steps.net(widens), rho=0.0)
    measured = steps.compiled(steps.lower(recipe, batch=128, evaluation=True))
    found = checks.of_program(measured)
    assert failed(found) == ["fits"]
    # One float32 array of 128 x 2^20 x 4 x 4 x 4 elements, padded or not.
    assert measured.needed_bytes >= 128 * 2**20 * 4**3 * 4
    assert measured.limit_bytes == 16 * 2**30


# What libtpu 0.0.7 said of a net with 2^20 classes.
RAN_OUT = (
    "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
    "space hbm. Used 16.00G of 15.75G hbm. Exceeded hbm capacity by 258.73M.\n\n"
    "Total hbm usage >= 16.25G:\n    reserved        258.00M\n"
    "    program          16.00G\n    arguments            0B\n"
)
# What libtpu 0.0.42.1 said for v6e of the small net with 8,000,000 examples a replica.
RAN_OUT_LATELY = (
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
    "temporaries (115.90G) exceeds available HBM (31.25G)."
)
TOO_LARGE = (
    "RESOURCE_EXHAUSTED: Allocation (size=25769803776) would exceed memory "
    "(size=17179869184) :: #allocation25 [shape = 'f32[2048,1048576,3]"
    "{1,0,2:T(8,128)}', space=hbm]"
)


@pytest.mark.parametrize(
    ("message", "used", "limit"),
    [(RAN_OUT, 16.0, 15.75), (RAN_OUT_LATELY, 115.9, 31.25), (TOO_LARGE, 24.0, 16.0)],
)
def test_what_does_not_fit_suggests_a_batch_that_does(message, used, limit):
    measured = steps.lowered(steps.small(), error=message, batch=64)
    assert failed(checks.of_program(measured)) == ["fits"]
    check = checks.fits(measured)
    assert f"{used:.3f} of {limit:.3f} GiB" in check.detail
    batch = int(64 * 0.95 * limit / used)  # This net's state is next to nothing.
    assert f"batch from 64 to about {batch} " in check.detail
    assert f"(`global_batch_size` {4 * batch})" in check.detail


@pytest.mark.slow
def test_the_suggested_batch_is_one_of_whole_micro_batches():
    measured = steps.lowered(steps.small(micro_batches=8), error=RAN_OUT, batch=64)
    # 59 would do, but for the eight parts.
    assert "batch from 64 to about 56 " in checks.fits(measured).detail


def test_a_state_that_is_too_large_by_itself_suggests_no_batch(monkeypatch):
    measured = steps.lowered(steps.small(), error=TOO_LARGE)
    monkeypatch.setattr(type(measured), "state_bytes", 17 * 2**30)
    detail = checks.fits(measured).detail
    assert "whatever the batch: take a smaller model" in detail
    assert "reduce" not in detail


def test_memory_of_another_kind_is_no_matter_of_the_batch():
    measured = steps.lowered(
        steps.small(),
        error="RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem",
    )
    assert failed(checks.of_program(measured)) == ["compiles", "fits"]
