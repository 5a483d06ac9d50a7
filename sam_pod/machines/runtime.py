"""Connect: a TPU, GPUs, several workers, or this machine's CPU as many replicas."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow.python.eager import context

from sam_pod import errors
from sam_pod.machines import cluster as cluster_lib
from sam_pod.machines import devices, tpu
from sam_pod.machines.workers import Workers
from sam_pod.process import deadline, proxies

# TensorFlow's words about workers whose TF_CONFIGs differ.
_OTHER_CLUSTER = ("Unexpected task registered", "is joining a group with size")

# This process's own CPU, where there is one process.
HOST_DEVICE = "/job:localhost/replica:0/task:0/device:CPU:0"


@dataclasses.dataclass(frozen=True)
class Runtime:
    """What a run computes on, and where this process stands in it."""

    strategy: tf.distribute.Strategy
    workers: Workers
    # This process's own CPU. After connecting to a TPU the default device is another
    # machine's, so writers, checkpoints and models must ask for this one.
    host_device: str = HOST_DEVICE
    # The CPUs of the machines that read input, when they are not this one.
    input_devices: tuple[str, ...] = ()
    # The place of each replica's core in a TPU's mesh, `[R, rank]`.
    coordinates: np.ndarray | None = None
    # What compiles a run's loops and has its state; None for TensorFlow's strategy.
    executor: Any = None
    # What executes the steps, and versions of its own, by package.
    name: str = "TensorFlow"
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def host_scope(self) -> tf.device:
        """Return the scope in which writers, models and local files belong."""
        return tf.device(self.host_device)


def of(strategy: tf.distribute.Strategy) -> Runtime:
    """Return the runtime of a strategy of this process alone."""
    return Runtime(strategy, Workers(strategy))


def connect(
    kind: str = "auto",
    *,
    tpu_address: tpu.Address | None = None,
    cpu_replicas: int = 1,
    deterministic: bool = True,
    connect_seconds: float = 900.0,
) -> Runtime:
    """Return what the hardware is, connected, and say in the log what it found.

    Call it before anything else touches a device.

    Args:
        kind: 'tpu'; 'multiworker', the workers of TF_CONFIG; 'mirrored', all GPUs or
            `cpu_replicas` replicas on the CPU; 'one', one device; or 'auto': a TPU
            when there is an address, else the workers of TF_CONFIG, else the GPUs
            unless `cpu_replicas` asks for the CPU, else the CPU.
        tpu_address: Where the TPU is.
        cpu_replicas: Logical CPU devices to spread the replicas over.
        deterministic: Ask for kernels that give the same bits every time; costs
            speed on a GPU and nothing measurable on a CPU. A TPU has no others, and to
            ask would have TensorFlow 2.16 refuse to compile max pooling's gradient.
        connect_seconds: The wait for other workers, before a DeadlineExceededError.

    Raises:
        UserError: an unknown kind, or hardware that is not there.
    """
    known = dict.fromkeys(("auto", "tpu", "multiworker", "mirrored", "one", "pjrt"))
    errors.lookup(known, kind, "runtime.strategy")
    if kind == "pjrt":
        raise errors.UserError(
            "`runtime.strategy` is 'pjrt', by which sam_pod.main alone can compute: "
            "this needs TensorFlow's strategy, with 'auto', for example."
        )
    cluster = cluster_lib.read()
    if kind == "auto":
        kind = _guess(tpu_address, cluster, cpu_replicas)
    _check(kind, tpu_address, cluster, cpu_replicas)
    if kind != "tpu":
        devices.check(kind, cpu_replicas)
    if deterministic and kind != "tpu":
        tf.config.experimental.enable_op_determinism()
    if kind == "tpu":
        runtime = _tpu(tpu_address)
    elif kind == "multiworker":
        runtime = _multiworker(cluster, connect_seconds)
    elif kind == "mirrored":
        runtime = of(_mirrored(cpu_replicas))
    else:
        runtime = of(_one())
    _log(runtime)
    return runtime


def _log(runtime: Runtime) -> None:
    strategy = runtime.strategy
    logging.info(
        "Running on %d replica(s): %s, worker %d of %d, %d CPU core(s) here, "
        "TensorFlow %s.",
        strategy.num_replicas_in_sync,
        type(strategy).__name__,
        runtime.workers.index,
        runtime.workers.count,
        os.cpu_count(),
        tf.__version__,
    )


def _guess(
    address: tpu.Address | None, cluster: cluster_lib.Cluster, cpu_replicas: int
) -> str:
    if address:
        return "tpu"
    if len(cluster.addresses) > 1:
        return "multiworker"
    several = cpu_replicas > 1 or len(tf.config.list_physical_devices("GPU")) > 1
    return "mirrored" if several else "one"


def _check(
    kind: str,
    address: tpu.Address | None,
    cluster: cluster_lib.Cluster,
    cpu_replicas: int,
) -> None:
    if kind == "tpu" and not address:
        raise errors.UserError(
            "`runtime.strategy` is 'tpu'; say which one: --tpu=local, --tpu=NAME or "
            "--tpu=grpc://HOST:8470."
        )
    if kind != "tpu" and address:
        raise errors.UserError(
            f"--tpu={address.name} goes with `runtime.strategy` 'auto' or 'tpu', not "
            f"{kind!r}."
        )
    if kind == "multiworker" and cluster.addresses == ("",):
        raise errors.UserError(
            "`runtime.strategy` is 'multiworker' and TF_CONFIG names no workers; set "
            "it, or start them all here: python -m launch.workers --num_workers=2 -- …"
        )
    if kind != "multiworker" and len(cluster.addresses) > 1:
        raise errors.UserError(
            f"TF_CONFIG names {len(cluster.addresses)} workers, which goes with "
            f"`runtime.strategy` 'auto' or 'multiworker', not {kind!r}; unset it."
        )
    if cpu_replicas > 1 and kind != "mirrored":
        raise errors.UserError(
            f"`runtime.cpu_replicas` is {cpu_replicas}; it must be 1 with a TPU, with "
            "several workers and with `runtime.strategy` 'one'."
        )


def _tpu(address: tpu.Address) -> Runtime:
    found = tpu.connect(address)
    return Runtime(
        found.strategy,
        Workers(found.strategy),
        input_devices=found.input_devices,
        coordinates=found.coordinates,
    )


def _multiworker(cluster: cluster_lib.Cluster, connect_seconds: float) -> Runtime:
    cluster_lib.check_port(cluster)
    hosts = [address.rpartition(":")[0] for address in cluster.addresses]
    proxy = proxies.spare(hosts)
    if proxy:
        logging.warning("%s", proxy)
    _grow_memory(tf.config.list_physical_devices("GPU"))
    os.environ["TF_CONFIG"] = cluster.to_json()  # The strategy reads it, too.
    # TensorFlow 2.20 has it elsewhere, and nothing else here needs it.
    from tensorflow.tsl.protobuf import coordination_config_pb2

    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=_task(cluster, 0),
        cluster_register_timeout_in_ms=int(1000 * connect_seconds),
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name=job, num_tasks=count)
            for job, count in cluster.jobs
        ],
    )
    # The strategy connects while it holds Python's lock. A worker waits for the chief
    # as long as configured above, the chief for the others for ever.
    try:
        with deadline.limit(connect_seconds):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
            workers = Workers(strategy, cluster.index, len(cluster.addresses))
            workers.barrier()  # What they disagree on shows when they first speak.
    except tf.errors.OpError as error:
        if any(words in str(error) for words in _OTHER_CLUSTER):
            raise errors.UserError(
                f"The TF_CONFIG of worker {cluster.index} names "
                f"{len(cluster.addresses)} workers, that of another worker names "
                "others: give all of them the same cluster."
            ) from error
        if proxy:
            logging.warning("The workers did not connect. %s", proxy)
        raise
    # Every input here is endless; else each batch would cost an all-reduce to ask
    # whether all workers have one, and its size would be unknown.
    strategy.extended.experimental_enable_get_next_as_optional = False
    # There is no localhost in this cluster: each process is a task of a job.
    own = f"{_task(cluster, cluster.index)}/device:CPU:0"
    return Runtime(strategy, workers, host_device=own)


def _task(cluster: cluster_lib.Cluster, index: int) -> str:
    for job, count in cluster.jobs:
        if index < count:
            return f"/job:{job}/replica:0/task:{index}"
        index -= count
    raise IndexError(index)


def _mirrored(cpu_replicas: int) -> tf.distribute.Strategy:
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


def _one() -> tf.distribute.Strategy:
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
