"""The devices of JAX, as the rest of a run sees them: a strategy and its input."""

import contextlib
from collections.abc import Callable, Iterator

import jax
import tensorflow as tf
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXIS = "replicas"


class Strategy:
    """One replica on each device of a mesh; each process has consecutive ones.

    It has what a run asks of a `tf.distribute.Strategy`: variables live on the host,
    and a global batch is put on the devices, each replica's rows on its own.
    """

    def __init__(self, mesh: Mesh) -> None:
        """Take a mesh of one axis, `AXIS`."""
        self.mesh = mesh

    @property
    def num_replicas_in_sync(self) -> int:
        """Return the number of devices, over all processes."""
        return self.mesh.size

    def scope(self) -> contextlib.AbstractContextManager:
        """Return the scope in which variables are made, which is the host's."""
        return tf.device("/device:CPU:0")

    def distribute_datasets_from_function(
        self, input_fn: Callable[[tf.distribute.InputContext], tf.data.Dataset]
    ) -> "Batches":
        """Return the batches of an input, on the devices."""
        context = tf.distribute.InputContext(
            jax.process_count(), jax.process_index(), self.num_replicas_in_sync
        )
        return Batches(input_fn(context), self.mesh)


class Batches:
    """The global batches of an input that gives a batch for each replica in turn.

    A process gives those of its own replicas.
    """

    def __init__(self, dataset: tf.data.Dataset, mesh: Mesh) -> None:
        """Take an input of `stamped` batches: their last tensor is a time."""
        # A step takes one of each replica: that many, made while the devices compute.
        self._devices = mesh.local_devices
        self._dataset = dataset.prefetch(len(self._devices))
        self._replicas = mesh.size
        self._sharding = NamedSharding(mesh, P(AXIS))

    def __iter__(self) -> Iterator[list[jax.Array]]:
        iterator = iter(self._dataset)
        while True:
            parts = [[t.numpy() for t in next(iterator)[:-1]] for _ in self._devices]
            yield [self._global(each) for each in zip(*parts, strict=True)]

    def _global(self, parts: tuple) -> jax.Array:
        size, *shape = parts[0].shape
        return jax.make_array_from_single_device_arrays(
            (size * self._replicas, *shape),
            self._sharding,
            jax.device_put(list(parts), self._devices),
        )
