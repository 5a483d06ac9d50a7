"""A state that lives on the devices, and its variables, which follow when asked."""

from collections.abc import Sequence

import jax
import numpy as np
import tensorflow as tf
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sam_pod.sam.variant import FILLED
from sam_pod.step import state as state_lib


class Resident:
    """The state of a run, a copy on each device.

    Steps replace the arrays. The variables are the host's: the number of the step, and
    whether the member has a memory, are true after every loop, all others after
    `settle`. `learning_rate_scale` is the host's alone.
    """

    def __init__(self, state: state_lib.TrainState, mesh: Mesh) -> None:
        """Take the variables; they are copied to the devices when a loop begins."""
        self.state = state
        self._everywhere = NamedSharding(mesh, P())
        self._arrays: list[jax.Array] | None = None
        self._is_ahead = False  # Of the variables.
        # Places in the flat values; a value of its own for each shows where it went.
        self._structure = state.read()
        numbers = iter(range(len(tf.nest.flatten(self._structure))))
        places = tf.nest.map_structure(lambda _: next(numbers), self._structure)
        self._step, self._scale = places.step, places.learning_rate_scale
        self._filled = places.memory[FILLED][0] if state.memory else None
        self._sent_scale: float | None = None

    def begin(self) -> list[jax.Array]:
        """Return the arrays for a loop, with the host's learning rate scale."""
        if self._arrays is None:
            values = tf.nest.flatten(self.state.read())
            self._arrays = [self._put(value.numpy()) for value in values]
        scale = float(self.state.progress["learning_rate_scale"].numpy())
        if scale != self._sent_scale:
            self._arrays[self._scale] = self._put(np.float32(scale))
            self._sent_scale = scale
        return self._arrays

    def stepped(self, arrays: Sequence[jax.Array]) -> None:
        """Take the arrays that a step has made of those before."""
        self._arrays, self._is_ahead = list(arrays), True

    def end(self) -> None:
        """Bring the host's count of steps up to date; this waits for the devices."""
        self.state.step.assign(np.asarray(self._arrays[self._step]))
        if self._filled is not None:
            self.state.memory[FILLED][0].assign(np.asarray(self._arrays[self._filled]))

    def wait(self) -> None:
        """Return once every device has made its copy; `end` waits for one of them."""
        jax.block_until_ready(self._arrays)

    def settle(self) -> None:
        """Bring all variables up to date."""
        if self._is_ahead:
            values = [np.array(array) for array in self._arrays]
            self.state.write(tf.nest.pack_sequence_as(self._structure, values))
            self._is_ahead = False

    def reload(self) -> None:
        """Take the variables as they are now when the next loop begins."""
        self._arrays, self._is_ahead, self._sent_scale = None, False, None

    def _put(self, value: np.ndarray) -> jax.Array:
        # A copy for each device, because a step may write over it.
        return jax.make_array_from_callback(
            np.shape(value), self._everywhere, lambda _: np.array(value)
        )
