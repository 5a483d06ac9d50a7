"""Accelerators that this machine has and TensorFlow does not use: said, never silent.

The drivers are asked, not TensorFlow: a wheel without CUDA, a driver that is too old
and a missing library all end in a list of devices without GPU.
"""

import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.machines import drivers


def check(kind: str, cpu_replicas: int) -> None:
    """Say in one line which accelerator of this machine the run leaves alone.

    Args:
        kind: The kind of the strategy: 'one', 'mirrored' or 'multiworker'.
        cpu_replicas: The number of CPU replicas; above 1 the user asked for the CPU.

    Raises:
        UserError: the strategy is 'mirrored', which is all GPUs, and TensorFlow sees
            none of those that there are.
    """
    if cpu_replicas > 1:
        return
    seen = len(tf.config.list_physical_devices("GPU"))
    if seen:
        return
    if drivers.is_a_tpu_here():
        logging.warning(
            "This machine has a TPU, and the run is on the CPU: give --tpu=local to "
            "train on it, and on v6e and newer bash launch/local.sh --runtime=pjrt-tpu."
        )
    found = drivers.gpus()
    if not found:
        return
    if hider := drivers.hider():
        logging.info("%s; %s hides it: the run is on the CPU.", found, hider)
        return
    line = f"{found}, and TensorFlow {tf.__version__} can use none: {_remedy(found)}"
    if kind == "mirrored":
        raise errors.UserError(
            f"`runtime.strategy` is 'mirrored', all GPUs. {line} Or set "
            "`runtime.strategy` to 'one' for the CPU."
        )
    logging.warning("THIS RUN IS ON THE CPU. %s", line)


def _remedy(found: str) -> str:
    if found.startswith("An AMD"):
        return "install the tensorflow-rocm that fits the driver."
    return (
        "install what it needs (python -m pip install "
        f"'tensorflow[and-cuda]=={tf.__version__}'); TF_CPP_MIN_LOG_LEVEL=0 shows what "
        "it misses, CUDA_VISIBLE_DEVICES=-1 says that the CPU is meant."
    )
