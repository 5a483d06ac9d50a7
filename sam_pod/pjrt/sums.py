"""Sums over the processes of a job, by a program on all their devices."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


class Sums:
    """What `machines.workers` adds with: each process calls it with as many numbers."""

    def __init__(self, mesh: Mesh) -> None:
        """Take a mesh of one axis, whose devices are in the order of processes."""
        apart = mesh.devices.reshape(jax.process_count(), -1)
        by_process = Mesh(apart, ("processes", "devices"))
        self._apart = NamedSharding(by_process, P("processes"))
        self._sum = jax.jit(
            lambda rows: rows.sum(0), out_shardings=NamedSharding(by_process, P())
        )

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Return the sums over all processes, each number's."""
        rows = jax.make_array_from_process_local_data(self._apart, numbers[None])
        return np.asarray(self._sum(rows))
