"""A compiled program over all the examples that are measured, once or many times."""

import contextlib
import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from sam_pod.data.input import pipeline
from sam_pod.data.input.batches import Batch
from sam_pod.instruments.subject import Subject
from sam_pod.process import watchdog
from sam_pod.run import inputs as inputs_lib
from sam_pod.run import pace
from sam_pod.step import loop as loop_lib

_MAX_SECONDS = 10.0  # Of one compiled call: then the host may stop.


class Sweep:
    """Run a program on each batch of a split."""

    def __init__(
        self,
        subject: Subject,
        split: pipeline.Split,
        batch_size: int,
        program: Callable[[Batch], tf.Tensor],
        width: int,
    ) -> None:
        """Compile nothing yet; the first call does.

        Args:
            subject: What is measured.
            split: The examples.
            batch_size: The examples of a batch over all replicas.
            program: From this replica's batch, with its mask, to a float32 `[width]`
                that is equal on all replicas.
            width: The size of the program's result.
        """
        self._ask = subject.ask
        self._num_batches = pipeline.evaluation_steps(split, batch_size)
        input_fn = pipeline.evaluation(split, global_batch_size=batch_size)
        strategy = subject.runtime.strategy
        self._loop = pace.PacedLoop(
            loop_lib.compile_loop(strategy, [program], width),
            loop_lib.iterator(strategy, input_fn),
            max_steps=self._num_batches,
            max_seconds=_MAX_SECONDS,
            agree=subject.runtime.workers.chiefs_number,
            bounded=functools.partial(_watched, subject, split),
        )

    def __call__(self) -> np.ndarray:
        """Return the program's result for each batch, `[batches, width]`."""
        rows: list[np.ndarray] = []
        while len(rows) < self._num_batches:
            self._ask()
            rows.extend(self._loop(self._num_batches - len(rows)).rows)
        return np.stack(rows)


@contextlib.contextmanager
def _watched(subject: Subject, split: pipeline.Split, compiles: bool) -> Iterator[None]:
    """Bound the time of one call; say which example it cannot read."""
    config = subject.config
    key = "watchdog.compile_seconds" if compiles else "watchdog.loop_seconds"
    seconds = config.watchdog[key.partition(".")[2]]
    naming = inputs_lib.naming_faults(split, lambda: pipeline.all_rows(split))
    bound = watchdog.limit(seconds, "A loop of a measurement", key)
    with bound, inputs_lib.explaining(config.data.dir), naming:
        yield
