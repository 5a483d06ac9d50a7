"""Connect: all devices that JAX has, on this machine and the others of the job."""

import os
from collections.abc import Sequence

import jax
import ml_collections
import numpy as np
import tensorflow as tf
from absl import logging
from jax.sharding import Mesh

from sam_pod import errors
from sam_pod.machines import cluster as cluster_lib
from sam_pod.machines.runtime import Runtime
from sam_pod.machines.workers import Workers
from sam_pod.pjrt import choice, environment, hosts
from sam_pod.pjrt.executor import Executor
from sam_pod.pjrt.strategy import AXIS, Strategy
from sam_pod.pjrt.sums import Sums


def connect(config: ml_collections.ConfigDict, tpu_address: str = "") -> Runtime:
    """Return the devices as a runtime, and say in the log what they are.

    Call it before anything else has JAX look for devices.

    Args:
        config: A validated config; `runtime.cpu_replicas` above 1 asks for the CPU, as
            so many devices of each process.
        tpu_address: A TPU that TensorFlow would contact; JAX takes this machine's.

    Raises:
        UserError: JAX has no devices, or processes have more than others.
    """
    if tpu_address:
        raise errors.UserError(
            f"--tpu={tpu_address} goes with `runtime.strategy` 'auto' or 'tpu': 'pjrt' "
            "takes the TPU of the machine that it runs on, without --tpu."
        )
    cpu_replicas = config.runtime.cpu_replicas
    # For the devices' compiler alone: TensorFlow, asked for determinism, lowers no
    # gradient of max pooling, for any device.
    deterministic = config.runtime.deterministic
    # A step counts in 64 bits; before anything is traced.
    jax.config.update("jax_enable_x64", True)
    if cpu_replicas > 1:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", cpu_replicas)
    _join(config)
    devices = hosts.in_order(_devices())
    if devices[0].platform == "cpu" and cpu_replicas == 1:
        choice.tell_unused()
    logging.info(
        "Running on %d replica(s): JAX %s, %s, worker %d of %d, %d CPU core(s) here, "
        "TensorFlow %s reads.",
        len(devices),
        jax.__version__,
        devices[0].device_kind,
        jax.process_index(),
        jax.process_count(),
        os.cpu_count(),
        tf.__version__,
    )
    return of(devices, deterministic=deterministic)


def of(devices: Sequence[jax.Device], *, deterministic: bool = True) -> Runtime:
    """Return the runtime of some devices of each process, a replica on each."""
    mesh = Mesh(np.array(devices), (AXIS,))
    strategy, count = Strategy(mesh), jax.process_count()
    add = Sums(mesh) if count > 1 else None
    return Runtime(
        strategy,
        Workers(strategy, jax.process_index(), count, add),
        coordinates=coordinates(devices),
        executor=Executor(mesh, deterministic=deterministic),
        name="JAX",
        versions={"jax": jax.__version__, "device": devices[0].device_kind},
    )


def coordinates(devices: Sequence[jax.Device]) -> np.ndarray | None:
    """Return the place of each device in a TPU's mesh, `[R, rank]`; None for others.

    Those of a chip differ in the last number.
    """
    if not all(hasattr(device, "coords") for device in devices):
        return None
    return np.array([(*each.coords, each.core_on_chip) for each in devices])


def _join(config: ml_collections.ConfigDict) -> None:
    """Connect the processes of the job, where there may be several."""
    if environment.is_alone(config):
        return
    # Signals are ours: JAX would take SIGTERM for a notice to its own checkpoints.
    jax.config.update("jax_enable_preemption_service", False)
    cluster, limits = cluster_lib.read(), config.watchdog
    if len(cluster.addresses) > 1:
        hosts.join(cluster, limits.connect_seconds, limits.loop_seconds)
    else:
        hosts.find(limits.connect_seconds, limits.loop_seconds)


def _devices() -> list[jax.Device]:
    try:
        devices = jax.devices()
    except RuntimeError as error:
        raise errors.UserError(
            f"JAX finds no device ({errors.reason(error)}): JAX_PLATFORMS is "
            f"{os.environ.get('JAX_PLATFORMS', 'not set')!r}; unset it, or set it to "
            "cpu."
        ) from error
    return devices
