"""Connect: all devices of this machine that JAX has."""

import os
from collections.abc import Sequence

import jax
import numpy as np
import tensorflow as tf
from absl import logging
from jax.sharding import Mesh

from sam_pod import errors
from sam_pod.machines import cluster as cluster_lib
from sam_pod.machines.runtime import Runtime
from sam_pod.machines.workers import Workers
from sam_pod.pjrt import choice
from sam_pod.pjrt.executor import Executor
from sam_pod.pjrt.strategy import AXIS, Strategy


def connect(
    *, tpu_address: str = "", cpu_replicas: int = 1, deterministic: bool = True
) -> Runtime:
    """Return the devices as a runtime, and say in the log what they are.

    Call it before anything else has JAX look for devices.

    Args:
        tpu_address: A TPU that TensorFlow would contact; JAX takes this machine's.
        cpu_replicas: Above 1 the CPU is asked for, as so many devices.
        deterministic: Ask for kernels that give the same bits every time.

    Raises:
        UserError: there are several workers, or JAX has no devices.
    """
    if tpu_address:
        raise errors.UserError(
            f"--tpu={tpu_address} goes with `runtime.strategy` 'auto' or 'tpu': 'pjrt' "
            "takes the TPU of the machine that it runs on, without --tpu."
        )
    workers = len(cluster_lib.read().addresses)
    if workers > 1:
        raise errors.UserError(
            f"TF_CONFIG names {workers} workers, and `runtime.strategy` 'pjrt' is one "
            "process so far: unset it, or take 'multiworker'."
        )
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    # A step counts in 64 bits; before anything is traced.
    jax.config.update("jax_enable_x64", True)
    if cpu_replicas > 1:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", cpu_replicas)
    devices = _devices()
    if devices[0].platform == "cpu" and cpu_replicas == 1:
        choice.tell_unused()
    logging.info(
        "Running on %d replica(s): JAX %s, %s, %d CPU core(s) here, TensorFlow %s "
        "reads.",
        len(devices),
        jax.__version__,
        devices[0].device_kind,
        os.cpu_count(),
        tf.__version__,
    )
    return of(devices, deterministic=deterministic)


def of(devices: Sequence[jax.Device], *, deterministic: bool = True) -> Runtime:
    """Return the runtime of some devices of this process, a replica on each."""
    mesh = Mesh(np.array(devices), (AXIS,))
    strategy = Strategy(mesh)
    return Runtime(
        strategy,
        Workers(strategy),
        executor=Executor(mesh, deterministic=deterministic),
        name="JAX",
        versions={"jax": jax.__version__, "device": devices[0].device_kind},
    )


def _devices() -> list[jax.Device]:
    try:
        devices = jax.local_devices()
    except RuntimeError as error:
        raise errors.UserError(
            f"JAX finds no device ({errors.reason(error)}): JAX_PLATFORMS is "
            f"{os.environ.get('JAX_PLATFORMS', 'not set')!r}; unset it, or set it to "
            "cpu."
        ) from error
    return devices
