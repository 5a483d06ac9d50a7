"""A program as sam_pod/pjrt runs it: compiled for a slice, or on virtual devices."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sam_pod.lowering import execute
from sam_pod.lowering.programs import Program, Tensor
from sam_pod.pjrt import hosts
from sam_pod.pjrt import program as program_lib
from sam_pod.pjrt.strategy import AXIS


def compiled(program: Program, devices: Sequence[Any]) -> jax.stages.Compiled:
    """Return the program of all devices, which need not be there.

    Args:
        program: The program of one replica.
        devices: As many as it has replicas, such as those of a topology.

    Raises:
        RuntimeError: the compiler refuses it.
    """
    mesh = Mesh(np.array(hosts.in_order(devices)), (AXIS,))
    with jax.enable_x64(True):
        arguments = [
            jax.ShapeDtypeStruct(
                _global_shape(tensor, mesh),
                np.dtype(tensor.dtype),
                sharding=_sharding(tensor, mesh),
            )
            for tensor in _arguments(program)
        ]
        return program_lib.mapped(program, mesh).lower(*arguments).compile()


class Executable:
    """`lowering.execute.Executable`, of the jitted program."""

    def __init__(self, program: Program) -> None:
        """Take a program, which is compiled at the first call.

        Raises:
            UserError: there are too few devices.
        """
        self._devices = execute.virtual_devices(program.num_replicas)
        self._program = program
        self._mesh = Mesh(np.array(self._devices), (AXIS,))
        with jax.enable_x64(True):  # A step counts in 64 bits.
            self._run = program_lib.mapped(program, self._mesh)

    def __call__(self, inputs: Sequence[Sequence[np.ndarray]]) -> list[list]:
        """Return for each replica its outputs; `inputs[r]` are those of replica r."""
        places = [self._program.inputs.index(t) for t in _arguments(self._program)]
        with jax.enable_x64(True):
            outputs = self._run(
                *(self._global(i, [each[i] for each in inputs]) for i in places)
            )
            return [
                [np.asarray(_shard(output, device)) for output in outputs]
                for device in self._devices
            ]

    def _global(self, place: int, parts: Sequence[np.ndarray]) -> jax.Array:
        tensor = self._program.inputs[place]
        parts = [np.asarray(part) for part in parts]
        return jax.make_array_from_single_device_arrays(
            _global_shape(tensor, self._mesh),
            _sharding(tensor, self._mesh),
            [jax.device_put(x, d) for x, d in zip(parts, self._devices, strict=True)],
        )


def _shard(array: jax.Array, device: jax.Device) -> jax.Array:
    return next(s.data for s in array.addressable_shards if s.device == device)


def _arguments(program: Program) -> list[Tensor]:
    """Return the inputs of the jitted program, which counts the replicas itself."""
    return [tensor for tensor in program.inputs if tensor.role != "replica_id"]


def _global_shape(tensor: Tensor, mesh: Mesh) -> tuple[int, ...]:
    if tensor.role not in program_lib.BATCH:
        return tensor.shape
    size, *rest = tensor.shape
    return (size * mesh.size, *rest)


def _sharding(tensor: Tensor, mesh: Mesh) -> NamedSharding:
    is_batch = tensor.role in program_lib.BATCH
    return NamedSharding(mesh, P(AXIS) if is_batch else P())
