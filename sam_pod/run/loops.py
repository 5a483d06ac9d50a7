"""The loops of a run: compiled steps over its data, paced, watched and explained."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from sam_pod.data.input import pipeline
from sam_pod.machines import groups
from sam_pod.process import watchdog
from sam_pod.run import inputs as inputs_lib
from sam_pod.run import pace
from sam_pod.run.session import Session
from sam_pod.step import loop as loop_lib
from sam_pod.step import metrics

# Batches that may be asked for before their step: by the executor, and in buffers.
_STEPS_AHEAD = 32


class Reads(NamedTuple):
    """What a loop reads."""

    split: pipeline.Split
    # Returns the rows that may have been asked for when the loop fails.
    rows: Callable[[], Iterable[int]]


def train_loop(session: Session, start_step: int) -> pace.PacedLoop:
    """Return the loop that trains, from the step after `start_step` on."""
    config, strategy = session.config, session.runtime.strategy
    split = session.splits["train"]
    input_fn = pipeline.training(
        split,
        global_batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start_step,
        group_size=groups.size(config.sam.sync, strategy.num_replicas_in_sync),
        micro_batches=config.sam.micro_batches,
    )

    def upcoming() -> Iterator[int]:
        done = int(session.state.step.numpy())
        for step in range(done, done + _STEPS_AHEAD):
            yield from pipeline.training_rows(
                split,
                global_batch_size=config.global_batch_size,
                seed=config.seed,
                step=step,
            )

    def programs(num_steps: int) -> list[int]:
        recipe, done = session.recipe, int(session.state.step.numpy())
        places = [
            recipe.cadence.place(recipe.variant, step)
            for step in range(done, done + num_steps)
        ]
        # Without a memory, as from a checkpoint that has none, it is refreshed first.
        if recipe.variant.between and places[0] == 1 and not session.state.is_filled():
            places[0] = 0
        return places

    loop = session.executor.compile_train(session.state, session.recipe)
    reads = Reads(split, upcoming)
    if len(session.recipe.programs) == 1:
        return _paced(session, loop, input_fn, reads)
    return _paced(session, loop, input_fn, reads, programs)


def evaluation_loop(
    session: Session, name: str, *, averaged: bool = True
) -> pace.PacedLoop:
    """Return the loop that evaluates a split, again and again.

    Args:
        session: The run's session.
        name: The split's name.
        averaged: Whether the weights' average is evaluated, where there is one.
    """
    split = session.splits[name]
    input_fn = pipeline.evaluation(
        split, global_batch_size=session.config.global_batch_size
    )
    loop = session.executor.compile_evaluation(
        session.state, session.recipe, averaged=averaged
    )
    rows = functools.partial(pipeline.all_rows, split)
    return _paced(session, loop, input_fn, Reads(split, rows))


def whole_pass(
    session: Session, name: str, loop: pace.PacedLoop
) -> metrics.Evaluation | None:
    """Return the means over a whole split, or None when asked to stop on the way.

    Args:
        session: The run's session.
        name: The split's name.
        loop: A loop, as returned by `evaluation_loop`.
    """
    num_batches = pipeline.evaluation_steps(
        session.splits[name], session.config.global_batch_size
    )
    sums: list[np.ndarray] = []
    while len(sums) < num_batches:
        with session.bounded("Agreeing with the other workers"):
            stops = session.runtime.workers.any(session.stop.is_set())[0]
        if stops:
            return None
        sums.extend(loop(num_batches - len(sums)).rows)
        session.log.evaluation(name, len(sums), num_batches)
    return metrics.evaluation_means(np.stack(sums))


def _paced(
    session: Session,
    loop: loop_lib.Loop,
    input_fn: pipeline.InputFn,
    reads: Reads,
    programs: pace.Programs = pace.one_program,
) -> pace.PacedLoop:
    """Return the loop over the batches of `input_fn`."""
    return pace.PacedLoop(
        loop,
        loop_lib.iterator(session.runtime.strategy, input_fn),
        max_steps=session.config.steps_per_loop,
        max_seconds=session.config.log_every_seconds,
        agree=functools.partial(_agree, session),
        bounded=functools.partial(_watched, session, reads),
        programs=programs,
    )


def _agree(session: Session, num_steps: int) -> int:
    with session.bounded("Agreeing with the other workers"):
        return session.runtime.workers.chiefs_number(num_steps)


@contextlib.contextmanager
def _watched(session: Session, reads: Reads, compiles: bool) -> Iterator[None]:
    """Bound the time of one call of a loop; say which example it cannot read."""
    bound = session.bounded("A loop of steps")
    if compiles:
        seconds = session.config.watchdog.compile_seconds
        key = "watchdog.compile_seconds"
        bound = watchdog.limit(seconds, "Compiling a step", key)
    naming = inputs_lib.naming_faults(reads.split, reads.rows)
    with bound, inputs_lib.explaining(session.config.data.dir), naming:
        yield
