"""A real TPUStrategy over cores that are made up, and one replica's view of it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from sam_pod.lowering import private


class _MadeUpTPU(tf.distribute.cluster_resolver.TPUClusterResolver):
    """A resolver that names the cores of a TPU and contacts nothing."""

    task_type = None
    task_id = None
    environment = ""

    def __init__(self, cores: int) -> None:  # Not the parent's: it looks for a TPU.
        self._tpu = ""
        self._cores = cores

    def get_tpu_system_metadata(self):
        prefix = "/job:localhost/replica:0/task:0/device:TPU:"
        device = private.LOGICAL_DEVICE.get()
        return private.SYSTEM_METADATA.get()(
            num_cores=self._cores,
            num_hosts=1,
            num_of_cores_per_host=self._cores,
            topology=None,
            devices=[device(f"{prefix}{i}", "TPU") for i in range(self._cores)],
        )

    def cluster_spec(self) -> None:
        return None

    def master(self, *args: object, **kwargs: object) -> str:
        del args, kwargs
        return ""

    get_master = master

    def num_accelerators(self, *args: object, **kwargs: object) -> dict[str, int]:
        del args, kwargs
        return {"TPU": self._cores}


def strategy(cores: int) -> tf.distribute.TPUStrategy:
    """Return a TPUStrategy of `cores` replicas that can be traced and not executed.

    Its variables would live on as many logical CPU devices; tracing needs none.
    """
    made_up = tf.distribute.TPUStrategy(_MadeUpTPU(cores))
    names = getattr(made_up.extended, private.STRATEGY_DEVICES).astype(object)
    for i in range(names.size):
        names.flat[i] = f"/job:localhost/replica:0/task:0/device:CPU:{i}"
    setattr(made_up.extended, private.STRATEGY_DEVICES, names)
    setattr(made_up, private.STRATEGY_PACKS, False)
    return made_up


@contextlib.contextmanager
def one_replica(
    made_up: tf.distribute.TPUStrategy, replica_id: tf.Tensor
) -> Iterator[None]:
    """Trace like the inside of `strategy.run`, for a compiler that is no TPU's.

    All-reduces become XLA's own operation, which any backend lowers, and no operation
    is marked for replication.

    Args:
        made_up: The strategy that `strategy` returns.
        replica_id: The replica's number, an int32 scalar, which is an argument of a
            TPU's program, too.
    """
    cores = made_up.num_replicas_in_sync
    nothing = dict.fromkeys(private.REPLICATE_METHODS, _returns_its_argument)
    unmarked = type("OneReplica", (private.REPLICATE_CONTEXT.get(),), nothing)
    inside = unmarked(name="cluster", num_replicas=cores, pivot=tf.raw_ops.NoOp())
    inside.Enter()
    try:
        with (
            _xla_all_reduces(cores),
            private.SHARD_CONTEXT.get()(cores),
            made_up.scope(),
            private.REPLICA_CONTEXT.get()(made_up, replica_id_in_sync_group=replica_id),
        ):
            yield
    finally:
        inside.Exit()


def _returns_its_argument(self: object, value: object = None) -> object:
    del self
    return value


@contextlib.contextmanager
def _xla_all_reduces(cores: int) -> Iterator[None]:
    everyone = [list(range(cores))]

    def cross_replica_sum(
        x: tf.Tensor | None = None,
        group_assignment: Sequence[Sequence[int]] | tf.Tensor | None = None,
        name: str | None = None,
        input: tf.Tensor | None = None,
    ) -> tf.Tensor:
        del name
        members = (
            tf.constant(everyone) if group_assignment is None else group_assignment
        )

        @tf.custom_gradient
        def differentiable(tensor: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            # The TPU's own operation has this gradient; XLA's has none registered.
            return _xla_sum(tensor, members), lambda grad: _xla_sum(grad, members)

        return differentiable(input if x is None else x)

    name = private.CROSS_REPLICA_SUM
    module = __import__(name.module, fromlist=[name.path])
    with (
        _replaced(module, name.path, cross_replica_sum),
        _replaced(tf.raw_ops, "CrossReplicaSum", cross_replica_sum),
    ):
        yield


def _xla_sum(tensor: tf.Tensor, members: tf.Tensor) -> tf.Tensor:
    return private.XLA_ALL_REDUCE.get()(
        input=tensor, group_assignment=members, reduce_op="Add", mode="CrossReplica"
    )


@contextlib.contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
