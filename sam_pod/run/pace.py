"""Compiled loops cut so that the host wakes in time."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Ran(NamedTuple):
    """The result of a loop."""

    rows: np.ndarray  # One for each step.
    steps_per_second: float
    wait_fraction: float  # The share of the time in which no batch was there yet.


# From a number of steps to that of the program of each of the next ones.
Programs = Callable[[int], Sequence[int]]


def one_program(num_steps: int) -> Sequence[int]:
    """Return the programs of a loop that has but one."""
    return [0] * num_steps


class PacedLoop:
    """Call a compiled loop for as many steps as fit into a bounded wall time.

    Between loops only, the host looks at the stop flag, the clock and the losses. What
    is computed does not depend on where one loop ends and the next begins.
    """

    def __init__(
        self,
        loop: Callable[[Iterator, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        iterator: Iterator,
        *,
        max_steps: int,
        max_seconds: float,
        agree: Callable[[int], int] = int,
        bounded: Callable[[bool], contextlib.AbstractContextManager] | None = None,
        programs: Programs = one_program,
    ) -> None:
        """Take a compiled loop.

        Args:
            loop: loop(iterator, num_steps) -> a row per step, and its wait in seconds.
            iterator: The iterator over its batches.
            max_steps: The most steps of one call.
            max_seconds: The most seconds that one call should take.
            agree: A function from the number of steps that fit here to that of all
                workers.
            bounded: A function from whether the call compiles to a context that bounds
                its time.
            programs: The programs of the next steps.
        """
        self._loop = loop
        self._iterator = iterator
        self._max_steps = max_steps
        self._max_seconds = max_seconds
        self._agree = agree
        self._bounded = bounded or (lambda compiles: contextlib.nullcontext())
        self._programs = programs
        self._compiled: set[int] = set()
        self._step_seconds: float | None = None

    @property
    def is_compiled(self) -> bool:
        """Whether a step has run."""
        return bool(self._compiled)

    def __call__(self, remaining: int) -> Ran:
        """Run at least one step and at most `remaining`."""
        fitting = min(self._fitting(), self._max_steps, remaining)
        return self.exactly(self._agree(self._until_new(fitting)))

    def exactly(self, num_steps: int) -> Ran:
        """Run `num_steps` steps in one call, however long they take."""
        start = time.monotonic()
        ahead = set(self._programs(num_steps))
        compiles = not ahead <= self._compiled
        with self._bounded(compiles):
            # A device may run behind; reading the rows waits for it.
            rows, waits = self._loop(self._iterator, tf.constant(num_steps, tf.int64))
            rows, waits = rows.numpy(), waits.numpy()
        seconds = time.monotonic() - start
        # A call that compiles shows nothing about the time of a step.
        self._step_seconds = None if compiles else seconds / num_steps
        self._compiled |= ahead
        # Clocks of two kinds: of a moment, their difference may be above its end.
        wait_fraction = min(1.0, float(waits.sum()) / seconds)
        return Ran(rows, num_steps / seconds, wait_fraction)

    def _until_new(self, num_steps: int) -> int:
        """Return how many of the next steps come before a program that is new.

        One, where that is the next step's: it is compiled in a call of its own.
        """
        for i, program in enumerate(self._programs(num_steps)):
            if program not in self._compiled:
                return max(i, 1)
        return num_steps

    def _fitting(self) -> int:
        if self._step_seconds is None:
            return 1
        return max(1, int(self._max_seconds / max(self._step_seconds, 1e-9)))
