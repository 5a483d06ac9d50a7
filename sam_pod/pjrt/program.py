"""A lowered program as JAX runs it: one call for all devices, compiled at the first.

The program is one replica's. `jax.shard_map` runs it on every device of the mesh, and
its all-reduces, which count replicas, are told to count the devices of the mesh.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jax import export
from jax import numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from sam_pod.lowering import stablehlo
from sam_pod.lowering.programs import Program
from sam_pod.pjrt.strategy import AXIS

BATCH = ("images", "labels", "mask")


def jitted(
    program: Program, mesh: Mesh, options: dict[str, bool | str] | None = None
) -> Callable[[list[jax.Array], list[jax.Array]], list[jax.Array]]:
    """Return the function from a state and a global batch to the program's outputs.

    Args:
        program: The program of one replica.
        mesh: The devices, as many as it has replicas.
        options: XLA's options.
    """
    compiled = mapped(program, mesh, options)
    return lambda state, batch: list(compiled(*state, *batch))


def mapped(
    program: Program, mesh: Mesh, options: dict[str, bool | str] | None = None
) -> jax.stages.Wrapped:
    """Return the program as a jitted function of its state and the global batch.

    What the program updates is donated: those arrays of the state are gone after it.
    Arguments are those of `jitted`.
    """
    roles = [tensor.role for tensor in program.inputs]
    num_batch = sum(role in BATCH for role in roles)
    num_state = len(roles) - num_batch - ("replica_id" in roles)
    call = _exported(program, mesh.devices.flat[0].platform)

    def replica(*tensors: jax.Array) -> list[jax.Array]:
        state, batch = tensors[:num_state], tensors[num_state:]
        number = ()
        if "replica_id" in roles:
            number = (jax.lax.axis_index(AXIS).astype(jnp.int32),)
        return call(*state, *number, *batch)

    on_all = jax.shard_map(
        replica,
        mesh=mesh,
        in_specs=(P(),) * num_state + (P(AXIS),) * num_batch,
        out_specs=(P(),) * len(program.outputs),
        check_vma=False,  # That all replicas end equal is the step's own law.
    )
    donated = [i for i, _ in program.aliases]
    return jax.jit(on_all, donate_argnums=donated, compiler_options=options)


def _exported(program: Program, platform: str) -> Callable[..., tuple[jax.Array, ...]]:
    """Return the program as a function of JAX's, for devices of a platform.

    An export of a function with the same inputs and outputs is right in all but what it
    computes.
    """
    inputs, outputs = (
        [jax.ShapeDtypeStruct(t.shape, np.dtype(t.dtype)) for t in side]
        for side in (program.inputs, program.outputs)
    )

    def stand_in(*_: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(jnp.zeros(each.shape, each.dtype) for each in outputs)

    # A TPU's devices may be those of a topology, without a TPU in this process.
    platforms = ("tpu",) if platform == "tpu" else None
    made = export.export(jax.jit(stand_in, keep_unused=True), platforms=platforms)(
        *inputs
    )
    artifact = stablehlo.portable(program.hlo, (), among_partitions=True)
    return dataclasses.replace(made, mlir_module_serialized=artifact).call
