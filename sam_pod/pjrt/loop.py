"""A loop of steps that JAX executes: asked for ahead, and read when it ends."""

import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
import tensorflow as tf

from sam_pod.pjrt.resident import Resident

# From (size of a replica's batch, shape of an image) to the function of a state and a
# global batch.
Make = Callable[[int, tuple[int, int, int]], Callable]


class Loop:
    """What `step.loop.Loop` is, of programs that JAX runs one step at a time.

    A step waits for a batch where the one before has ended and the batch is not there.
    """

    def __init__(
        self,
        resident: Resident,
        programs: Sequence[Make],
        choose: Callable[[int], Callable[[int], int]],
        *,
        updates: bool,
        num_replicas: int,
        in_flight: int,
    ) -> None:
        """Take the programs, which are made at their first step.

        Args:
            resident: The state.
            programs: They are chosen by their place.
            choose: From the number of steps made so far to a function from the number
                of a step in the loop to the place of its program.
            updates: Whether a program returns a new state before its row.
            num_replicas: The replicas that share a global batch.
            in_flight: The most steps that the devices are asked for at once.
        """
        self._resident = resident
        self._programs = programs
        self._choose = choose
        self._updates = updates
        self._num_replicas = num_replicas
        self._in_flight = in_flight
        self._made: dict[int, Callable] = {}

    def __call__(
        self, iterator: Iterator, num_steps: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a row for each step, and the seconds that each waited."""
        choose = self._choose(int(self._resident.state.step.numpy()))
        self._resident.begin()
        rows: list[jax.Array] = []
        waits: list[float] = []
        try:
            for i in range(int(num_steps)):
                batch, wait = _timed(iterator, rows)
                if len(rows) >= self._in_flight:
                    rows[-self._in_flight].block_until_ready()
                rows.append(self._step(choose(i), batch))
                waits.append(wait)
        finally:
            if self._updates and rows:
                self._resident.end()
        return (
            tf.constant(np.stack([np.asarray(row) for row in rows])),
            tf.constant(waits, tf.float64),
        )

    def _step(self, place: int, batch: Sequence[jax.Array]) -> jax.Array:
        """Ask the devices for a step; return its row, which may not be there yet."""
        if place not in self._made:
            size, *shape = batch[0].shape
            make = self._programs[place]
            self._made[place] = make(size // self._num_replicas, tuple(shape))
        *after, row = self._made[place](self._resident.begin(), batch)
        if self._updates:
            self._resident.stepped(after)
        return row


def _timed(
    iterator: Iterator, rows: Sequence[jax.Array]
) -> tuple[Sequence[jax.Array], float]:
    """Return the next batch, and how long the devices had nothing to do meanwhile.

    At the most: when they ended within that time is not known.
    """
    start = time.monotonic()
    batch = next(iterator)
    is_idle = not rows or rows[-1].is_ready()
    return batch, time.monotonic() - start if is_idle else 0.0
