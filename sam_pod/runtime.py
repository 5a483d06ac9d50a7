"""Connect: a TPU, GPUs, or this machine's CPU as one or many replicas."""

import os

import tensorflow as tf
from absl import logging

from sam_pod import errors

# This process's own CPU. After connecting to a TPU the default device is another
# machine's, so writers and checkpoints must ask for this one.
HOST_DEVICE = "/job:localhost/replica:0/task:0/device:CPU:0"


def connect(
    kind: str = "auto",
    *,
    tpu: str = "",
    cpu_replicas: int = 1,
    deterministic: bool = True,
) -> tf.distribute.Strategy:
    """Return the strategy for the hardware, and say in the log what it found.

    Call it before anything else touches a device.

    Args:
        kind: 'tpu', 'mirrored' (all GPUs, or `cpu_replicas` replicas on the CPU),
            'one' (one device), or 'auto': a TPU when `tpu` is given, else the GPUs
            unless `cpu_replicas` asks for the CPU, else the CPU.
        tpu: 'local', a TPU's name, or 'grpc://host:8470,...'.
        cpu_replicas: Logical CPU devices to spread the replicas over.
        deterministic: Ask for kernels that give the same bits every time; costs
            speed on a GPU and nothing measurable on a CPU.

    Raises:
        UserError: an unknown kind, or hardware that is not there.
    """
    builders = {
        "auto": _auto,
        "tpu": _tpu,
        "mirrored": _mirrored,
        "one": _one,
    }
    build = errors.lookup(builders, kind, "runtime.strategy")
    if tpu and kind not in ("auto", "tpu"):
        raise errors.UserError(
            f"--tpu={tpu} goes with `runtime.strategy` 'auto' or 'tpu', not {kind!r}."
        )
    if cpu_replicas > 1 and (tpu or kind in ("tpu", "one")):
        raise errors.UserError(
            f"`runtime.cpu_replicas` is {cpu_replicas}; it must be 1 with a TPU and "
            "with `runtime.strategy` 'one'."
        )
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = build(tpu, cpu_replicas)
    logging.info(
        "Running on %d replica(s): %s, %d CPU core(s) here, TensorFlow %s.",
        strategy.num_replicas_in_sync,
        type(strategy).__name__,
        os.cpu_count(),
        tf.__version__,
    )
    return strategy


def host_scope() -> tf.device:
    """Return the scope in which writers and local files belong."""
    return tf.device(HOST_DEVICE)


def _auto(tpu: str, cpu_replicas: int) -> tf.distribute.Strategy:
    if tpu:
        return _tpu(tpu, cpu_replicas)
    gpus = tf.config.list_physical_devices("GPU")
    if cpu_replicas > 1 or len(gpus) > 1:
        return _mirrored(tpu, cpu_replicas)
    return _one(tpu, cpu_replicas)


def _tpu(tpu: str, cpu_replicas: int) -> tf.distribute.Strategy:
    del cpu_replicas
    if not tpu:
        raise errors.UserError(
            "`runtime.strategy` is 'tpu'; say which one: --tpu=local, --tpu=NAME or "
            "--tpu=grpc://HOST:8470."
        )
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (
        ImportError,  # No client library for the TPU's name.
        OSError,  # Nothing answers where names are looked up.
        RuntimeError,
        ValueError,
        tf.errors.OpError,
    ) as error:
        reason = " ".join(str(error).split())[:300]
        raise errors.UserError(f"No TPU answers at --tpu={tpu}: {reason}") from error
    return tf.distribute.TPUStrategy(resolver)


def _mirrored(tpu: str, cpu_replicas: int) -> tf.distribute.Strategy:
    del tpu
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and cpu_replicas == 1:
        _grow_memory(gpus)
        return tf.distribute.MirroredStrategy()
    devices = _cpu_devices(cpu_replicas)
    # Sums in one fixed order, and strategies of several sizes can share a process,
    # which the default collective on CPUs does not survive.
    return tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def _one(tpu: str, cpu_replicas: int) -> tf.distribute.Strategy:
    del tpu, cpu_replicas
    gpus = tf.config.list_physical_devices("GPU")
    _grow_memory(gpus)
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def _grow_memory(gpus: list[tf.config.PhysicalDevice]) -> None:
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def _cpu_devices(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    existing = tf.config.get_logical_device_configuration(cpu)
    if existing is None or len(existing) < count:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    return [f"/cpu:{index}" for index in range(count)]
