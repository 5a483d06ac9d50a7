"""Memory that is not enough ends a run in one line that helps, with exit code 1."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.process import command, exhaustion
from sam_pod.storage import faults


def real_error():
    """Return what TensorFlow raises for a tensor that no machine holds."""
    with pytest.raises(tf.errors.ResourceExhaustedError) as raised:
        tf.fill([1 << 24, 1 << 24], 1.0)
    return raised.value


def said_by_xla(kind, text):
    return kind(None, None, text)


OPS = tf.errors
OUT_OF_MEMORY = {
    "tensorflow": real_error,
    "xla on a tpu": lambda: OPS.ResourceExhaustedError(
        None,
        None,
        "Ran out of memory in memory space hbm. Used 17.2G of 15.75G hbm.\nTotal hbm",
    ),
    "xla on a gpu": lambda: OPS.InternalError(
        None,
        None,
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.",
    ),
    "cuda": lambda: OPS.InternalError(
        None, None, "failed call to cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY: out of memory"
    ),
    "a copy to a gpu": lambda: OPS.InternalError(
        None, None, "Dst tensor is not initialized."
    ),
    "cublas": lambda: OPS.InternalError(None, None, "CUBLAS_STATUS_ALLOC_FAILED"),
}
OTHERS = {
    "a bucket": OPS.ResourceExhaustedError(None, None, "429: rate limit exceeded"),
    "grpc": OPS.ResourceExhaustedError(
        None, None, "Received message larger than max (9 vs. 4)"
    ),
    "a bug": ValueError("out of memory"),
    "internal": OPS.InternalError(None, None, "cuDNN launch failure"),
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_device_without_memory_is_one_line(name):
    config = config_lib.defaults()
    config.global_batch_size, config.accumulate_steps = 4096, 2
    with pytest.raises(errors.UserError) as raised:  # noqa: SIM117
        with exhaustion.explained(config, 8):
            raise OUT_OF_MEMORY[name]()
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith("Out of memory (")
    assert "each of 8 replica(s) takes 512 images of `global_batch_size` 4096" in line
    assert "256 at once, for `accumulate_steps` is 2. Double `accumulate_steps`" in line
    assert "preflight --find_batch" in line


def test_this_machine_without_memory_is_one_line():
    config = config_lib.defaults()
    with (
        pytest.raises(errors.UserError, match=r"\(Unable to alloc") as raised,
        exhaustion.explained(config, 1),
    ):
        np.ones(1 << 58)
    assert "lower `data.memory_fraction` (0.25" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_device_without_memory_is_no_storage_that_fails(name):
    """Else a run on data in a bucket would be started again, for ever."""
    assert not faults.is_transient(OUT_OF_MEMORY[name]())
    assert faults.is_transient(OTHERS["a bucket"])


@pytest.mark.parametrize("name", OTHERS)
def test_other_errors_stay_what_they_are(name):
    with pytest.raises(type(OTHERS[name])) as raised:  # noqa: SIM117
        with exhaustion.explained(config_lib.defaults(), 1):
            raise OTHERS[name]
    assert raised.value is OTHERS[name]


def test_every_command_ends_with_one_line_and_1(capsys):
    assert command.run(lambda: np.ones(1 << 58)) == 1
    line = capsys.readouterr().err
    assert line.startswith("Error: Out of memory (Unable to allocate")
    assert line.count("\n") == 1
