"""The private names of TensorFlow and JAX that lowering touches, all of them.

Lowering a TPU's program without a TPU has no public interface. The names that it needs
are listed here, with the version they were seen in; `get` says which name moved, and so
does tests/lowering/private_test.py, one test a name. All of them are in TensorFlow
2.17.1, 2.18.1, 2.19.1 and 2.20.0, too, and with 2.17.1 the lowered step was executed.
"""

import dataclasses
import functools
import importlib
import importlib.util
from typing import Any

_TENSORFLOW = "TensorFlow 2.16.2"
# Where jaxlib has put its names, since some version between these.
_HAS_OLD_NAMES = importlib.util.find_spec("jaxlib.xla_extension") is not None
_JAX = "jax 0.4.34" if _HAS_OLD_NAMES else "jax 0.10.2"
_HLO, _XLA = (
    ("jaxlib.xla_extension",) * 2
    if _HAS_OLD_NAMES
    else (
        "jaxlib._hlo",
        "jaxlib._jax",
    )
)


class Moved(RuntimeError):
    """A private name is not where it was."""


@dataclasses.dataclass(frozen=True)
class Name:
    """A private name: a module, and a dotted path in it."""

    module: str
    path: str
    seen_in: str

    def get(self) -> Any:
        """Return the object of that name.

        Raises:
            Moved: it is not there, or not there any more.
        """
        try:
            found = importlib.import_module(self.module)
            return functools.reduce(getattr, filter(None, self.path.split(".")), found)
        except (ImportError, AttributeError) as error:
            raise Moved(
                f"{self.module}.{self.path}, seen in {self.seen_in}, is not there "
                f"({error}): find where it is now and fix {__name__}."
            ) from error


# The strategy, and the inside of a replica.
SYSTEM_METADATA = Name(
    "tensorflow.python.tpu.tpu_system_metadata", "TPUSystemMetadata", _TENSORFLOW
)
LOGICAL_DEVICE = Name("tensorflow.python.eager.context", "LogicalDevice", _TENSORFLOW)
REPLICATE_CONTEXT = Name(
    "tensorflow.python.tpu.tpu_replication", "TPUReplicateContext", _TENSORFLOW
)
SHARD_CONTEXT = Name(
    "tensorflow.python.tpu.tpu_function", "tpu_shard_context", _TENSORFLOW
)
REPLICA_CONTEXT = Name(
    "tensorflow.python.distribute.tpu_strategy", "_TPUReplicaContext", _TENSORFLOW
)
# Methods of REPLICATE_CONTEXT that mark operations for the TPU; lowering marks none.
REPLICATE_METHODS = (
    "AddInnerOp",
    "AddOp",
    "AddValue",
    "ExitResult",
    "GetControlPivot",
)
# Attributes of a TPUStrategy: where its variables live, and whether they are packed.
STRATEGY_DEVICES = "_tpu_devices"  # In strategy.extended.
STRATEGY_PACKS = "_enable_packed_variable_in_eager_mode"

# The TPU's all-reduce, and XLA's own that stands in for it.
CROSS_REPLICA_SUM = Name(
    "tensorflow.python.tpu.ops.tpu_ops", "cross_replica_sum", _TENSORFLOW
)
XLA_ALL_REDUCE = Name(
    "tensorflow.compiler.tf2xla.ops.gen_xla_ops", "xla_all_reduce", _TENSORFLOW
)

# From HLO to StableHLO and to a compiled program.
XLA_COMPUTATION = Name(_HLO, "XlaComputation", _JAX)
TO_STABLEHLO = Name(_XLA, "mlir.xla_computation_to_mlir_module", _JAX)
SERIALIZE_STABLEHLO = Name(_XLA, "mlir.serialize_portable_artifact", _JAX)
MLIR_CONTEXT = Name("jax._src.interpreters.mlir", "make_ir_context", _JAX)
MLIR_BYTECODE = Name("jax._src.interpreters.mlir", "module_to_bytecode", _JAX)
MLIR_MODULE = Name("jaxlib.mlir.ir", "Module", _JAX)
MLIR_IR = Name("jaxlib.mlir.ir", "", _JAX)
MLIR_FUNC = Name("jaxlib.mlir.dialects.func", "", _JAX)
COMPILE_OPTIONS = Name("jax._src.compiler", "get_compile_options", _JAX)
TOPOLOGY = Name("jax.experimental.topologies", "get_topology_desc", _JAX)

NAMES = tuple(value for value in globals().values() if isinstance(value, Name))
