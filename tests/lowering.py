"""A TPU's program without a TPU: traced under a real TPUStrategy, lowered, and run.

`strategy()` is a real TPUStrategy on cores that are made up. `lower` traces what one
replica runs under it, all-reduces included, into HLO; `execute` runs that HLO on
virtual devices of XLA's CPU backend, where the all-reduces really take place. Only
XLA's operation for an all-reduce stands in for the TPU's, which a CPU cannot lower.
"""

import functools
import re
from unittest import mock

import jax
import numpy as np
import tensorflow as tf
from jax._src import compiler
from jax._src.interpreters import mlir
from jaxlib import xla_extension
from jaxlib.mlir import ir
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.distribute import tpu_strategy
from tensorflow.python.eager.context import LogicalDevice
from tensorflow.python.tpu import tpu_function, tpu_replication, tpu_system_metadata
from tensorflow.python.tpu.ops import tpu_ops


class MadeUpTPU(tf.distribute.cluster_resolver.TPUClusterResolver):
    """A resolver that names the cores of a TPU and contacts nothing."""

    task_type = None
    task_id = None
    environment = ""

    def __init__(self, cores):  # Not the parent's, which looks for a TPU.
        self._tpu = ""
        self._cores = cores

    def get_tpu_system_metadata(self):
        names = [
            f"/job:localhost/replica:0/task:0/device:TPU:{i}"
            for i in range(self._cores)
        ]
        return tpu_system_metadata.TPUSystemMetadata(
            num_cores=self._cores,
            num_hosts=1,
            num_of_cores_per_host=self._cores,
            topology=None,
            devices=[LogicalDevice(name, "TPU") for name in names],
        )

    def cluster_spec(self):
        return None

    def master(self, *args, **kwargs):
        del args, kwargs
        return ""

    get_master = master

    def num_accelerators(self, *args, **kwargs):
        del args, kwargs
        return {"TPU": self._cores}


def strategy(cores):
    """Return a TPUStrategy whose variables live on logical CPU devices."""
    made_up = tf.distribute.TPUStrategy(MadeUpTPU(cores))
    names = made_up.extended._tpu_devices.astype(object)
    for i in range(names.size):
        names.flat[i] = f"/job:localhost/replica:0/task:0/device:CPU:{i}"
    made_up.extended._tpu_devices = names
    made_up._enable_packed_variable_in_eager_mode = False
    return made_up


class _OneReplica(tpu_replication.TPUReplicateContext):
    """Looks like the inside of a replicated computation, and marks no operation."""

    def AddOp(self, op):  # noqa: N802
        pass

    def _AddOpInternal(self, op):  # noqa: N802
        pass

    def AddValue(self, val):  # noqa: N802
        return val

    def AddInnerOp(self, op):  # noqa: N802
        pass

    def ExitResult(self, result):  # noqa: N802
        pass

    def GetControlPivot(self):  # noqa: N802
        return None


def lower(made_up, fn, *specs):
    """Return the HLO of `fn(*tensors) -> tensors` as one replica runs it."""
    cores = made_up.num_replicas_in_sync

    everyone = [list(range(cores))]

    def cross_replica_sum(x=None, group_assignment=None, name=None, input=None):
        del name
        members = (
            tf.constant(everyone) if group_assignment is None else group_assignment
        )

        @tf.custom_gradient
        def differentiable(tensor):
            # The TPU's own operation has this gradient; XLA's has none registered.
            return _xla_sum(tensor, members), lambda grad: _xla_sum(grad, members)

        return differentiable(input if x is None else x)

    @tf.function(jit_compile=True, autograph=False)
    def replica(*tensors):
        pivot = tf.raw_ops.NoOp()
        inside = _OneReplica(name="cluster", num_replicas=cores, pivot=pivot)
        inside.Enter()
        try:
            with (
                mock.patch.object(tpu_ops, "cross_replica_sum", cross_replica_sum),
                mock.patch.object(tf.raw_ops, "CrossReplicaSum", cross_replica_sum),
                tpu_function.tpu_shard_context(cores),
                made_up.scope(),
                tpu_strategy._TPUReplicaContext(
                    made_up, replica_id_in_sync_group=gen_xla_ops.xla_replica_id()
                ),
            ):
                return fn(*tensors)
        finally:
            inside.Exit()

    return replica.experimental_get_compiler_ir(*specs)(stage="hlo_serialized")


def _xla_sum(tensor, members):
    return gen_xla_ops.xla_all_reduce(
        input=tensor, group_assignment=members, reduce_op="Add", mode="CrossReplica"
    )


def execute(hlo, cores, per_core_inputs):
    """Run the program on `cores` virtual devices; return the outputs of each.

    Args:
        hlo: Of `lower`.
        cores: At most the devices that XLA_FLAGS makes.
        per_core_inputs: For each core its list of arrays.
    """
    compiled = _compile(hlo, cores)
    devices = jax.devices("cpu")[:cores]
    inputs = [
        [jax.device_put(part, device) for part, device in zip(*pair, strict=True)]
        for pair in ((parts, devices) for parts in zip(*per_core_inputs, strict=True))
    ]
    outputs = compiled.execute_sharded(inputs)
    by_output = outputs.disassemble_into_single_device_arrays()
    return [[np.asarray(per[core]) for per in by_output] for core in range(cores)]


@functools.cache
def _compile(hlo, cores):
    text = xla_extension.mlir.xla_computation_to_mlir_module(
        xla_extension.XlaComputation(hlo)
    )
    # The importer of this side refuses a copy, which is no operation at all here.
    text = re.sub(
        r"= mhlo\.copy (%[\w#]+) : (tensor<[^>]*>)",
        r"= stablehlo.reshape \1 : (\2) -> \2",
        text.decode() if isinstance(text, bytes) else text,
    )
    devices = jax.devices("cpu")[:cores]
    options = compiler.get_compile_options(
        num_replicas=cores,
        num_partitions=1,
        device_assignment=np.arange(cores).reshape(cores, 1),
    )
    with mlir.make_ir_context():
        program = mlir.module_to_bytecode(ir.Module.parse(text))
        return devices[0].client.compile(program, options)


def collectives(hlo):
    """Return (bytes, replica groups) of each all-reduce of a program, and others."""
    text = xla_extension.XlaComputation(hlo).as_hlo_text()
    found = []
    for line in text.splitlines():
        match = re.search(
            r"= (.*?) (all-reduce|all-gather|all-to-all|reduce-scatter"
            r"|collective-permute|send|recv|infeed|outfeed)\(",
            line,
        )
        if match:
            groups = re.search(r"replica_groups=(\{\{.*?\}\})", line)
            found.append((match[2], _num_bytes(match[1]), groups and groups[1]))
    return found


_BYTES = {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "bf16": 2, "pred": 1}


def _num_bytes(shapes):
    return sum(
        _BYTES[kind] * int(np.prod([int(d) for d in dims.split(",") if d] or [1]))
        for kind, dims in re.findall(r"\b([a-z]+[0-9]+|pred)\[([0-9,]*)\]", shapes)
    )
