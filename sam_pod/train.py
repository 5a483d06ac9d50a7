"""Train, validate, save, stop, test: one run from its config to its result.

Reads top to bottom. The host wakes between compiled loops only; what a step computes
is in step.py.
"""

import contextlib
import dataclasses
import functools
import gc
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input import pipeline
from sam_pod.machines import groups
from sam_pod.machines.runtime import Runtime
from sam_pod.machines.workers import Workers
from sam_pod.process import signals, watchdog
from sam_pod.run import checkpoints, continuing, pace, result
from sam_pod.run import inputs as inputs_lib
from sam_pod.run import session as session_lib
from sam_pod.run import workdir as workdir_lib
from sam_pod.step import loop as loop_lib
from sam_pod.step import metrics, progress

# Batches that may be asked for before their step: by the executor, and in buffers.
_STEPS_AHEAD = 32


def run(
    config: ml_collections.ConfigDict,
    workdir: str,
    runtime: Runtime,
    stop: threading.Event,
    accepted: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Train to the end, continuing what is in `workdir`, and return the result.

    Args:
        config: Validated.
        workdir: A new folder, or that of a run of the same config. Of several workers
            the chief's counts.
        runtime: What to run on.
        stop: When set on any worker, the run saves and raises within one loop.
        accepted: Of `keys.ACCEPTABLE`.

    Raises:
        Interrupted: `stop` was set; the state is saved.
        UserError: what the user can mend, in one line.
    """
    finished = _finished(workdir, config, runtime.workers)
    if finished is not None:
        return finished
    session = session_lib.set_up(config, workdir, runtime, stop, accepted)
    try:
        fit(session)
        return test(session)
    except checkpoints.NotFinite as error:
        raise _not_finite(f"variable {error.name}", np.nan, session) from error
    finally:
        # The lock last: a save that goes on writes into the folder that it holds.
        session.writer.close()
        with contextlib.suppress(errors.UserError):  # Told before, if it mattered.
            session.checkpoints.wait()
        if session.lock:
            session.lock.close()


def fit(session: session_lib.Session) -> None:
    """Run the steps and validations that are left.

    Raises:
        Interrupted: after saving, when asked to stop.
        UserError: the loss is not finite, or the disk is full.
    """
    config, state, workers = session.config, session.state, session.runtime.workers
    with session.limit("Starting the input"):
        done, record = int(state.step.numpy()), state.read_progress()
        train_loop = _train_loop(session, done)
    started, saved = time.monotonic() - record.seconds, time.monotonic()
    to_profile = config.profile_steps

    @functools.cache  # Its input is not built before the first step.
    def validation_loop() -> pace.PacedLoop:
        with session.limit("Starting the input"):
            return _evaluation_loop(session, "validation")

    def save() -> None:
        nonlocal saved
        # Metrics first: no checkpoint may know of steps that TensorBoard lacks.
        session.writer.flush()
        seconds = time.monotonic() - started
        with session.limit("Saving"):
            state.write_progress(dataclasses.replace(record, seconds=seconds))
            session.checkpoints.save()
        saved = time.monotonic()

    while not _is_finished(record, config):
        epoch_end = int(record.validated_epochs + 1) * session.epoch_steps
        if done < epoch_end:
            compiles = not train_loop.is_compiled
            if compiles:
                session.log.compiling(_size(state.weights))
            if to_profile and not compiles:
                with session.writer.profile():
                    ran = train_loop.exactly(min(to_profile, epoch_end - done))
                to_profile = 0
            else:
                ran = train_loop(epoch_end - done)
            rows = ran.rows
            _check_steps(rows, done, session)
            if compiles:
                session.log.compiled(done + len(rows))
                host = session.runtime.host_scope()
                with session.limit("Describing the run"), host:
                    session.introduce()
                validation_loop()
            session.writer.steps(done + 1, rows)
            done += len(rows)
            if compiles:
                session.log.start(done)
            else:
                rate = ran.steps_per_second * config.global_batch_size
                speed = {
                    metrics.EXAMPLES_PER_SECOND: rate,
                    metrics.WAIT_FRACTION: ran.wait_fraction,
                }
                session.writer.scalars(done, speed)
                session.log.steps(done, rows[-1], speed)
        elif scores := _evaluate(session, "validation", validation_loop()):
            record = _after_validation(record, scores, session)
            session.writer.evaluation("validation", done, scores)
            if progress.is_best(record):
                with session.limit("Saving"):
                    session.checkpoints.save_best()
            save()
        gc.enable()  # Disabled by main.py until here.
        is_due = time.monotonic() - saved >= config.checkpoint.every_seconds
        with session.limit("Agreeing with the other workers"):
            stops, saves = workers.any(
                session.stop.is_set(), workers.is_chief and is_due
            )
        if stops or saves:
            save()
        if stops:
            _wait_for_all(session)
            raise signals.Interrupted


def test(session: session_lib.Session) -> dict[str, Any]:
    """Read the test set once, with the weights that the recipe asks for.

    Raises:
        Interrupted: asked to stop; the run is saved but for this.
    """
    workers = session.runtime.workers
    if session.config.early_stopping.restore_best_weights:
        with session.limit("Restoring the best weights"):
            if workers.is_chief:
                session.checkpoints.restore_best()
            session_lib.share_state(session.state, workers)
    with session.limit("Starting the input"):
        steps, record = int(session.state.step.numpy()), session.state.read_progress()
        loop = _evaluation_loop(session, "test")
    scores = _evaluate(session, "test", loop)
    if scores is None:
        _wait_for_all(session)
        raise signals.Interrupted
    session.writer.evaluation("test", steps, scores)
    session.writer.flush()
    summary = result.summarize(
        session.config, session.recipe.network, record, scores, steps
    )
    if workers.is_chief:
        summary |= continuing.spread_of(session.workdir)
        workdir_lib.write_result(session.workdir, summary)
    _wait_for_all(session)
    return summary


def _finished(
    workdir: str, config: ml_collections.ConfigDict, workers: Workers
) -> dict[str, Any] | None:
    """Return the result of a run that the chief finds finished in its workdir."""
    found = continuing.finished(workdir, config) if workers.is_chief else None
    return json.loads(workers.chiefs_bytes(json.dumps(found).encode()))


def _size(variables: Iterable[tf.Variable]) -> int:
    return sum(variable.shape.num_elements() for variable in variables)


def _wait_for_all(session: session_lib.Session) -> None:
    """Return when everything is on the disk and every worker knows it."""
    with session.limit("Waiting for the last save"):
        session.checkpoints.wait()
        session.runtime.workers.barrier()


def _train_loop(session: session_lib.Session, start_step: int) -> pace.PacedLoop:
    config, strategy = session.config, session.runtime.strategy
    input_fn = pipeline.training(
        session.splits["train"],
        global_batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start_step,
        group_size=groups.size(config.sam.sync, strategy.num_replicas_in_sync),
        micro_batches=config.sam.micro_batches,
    )

    def upcoming() -> Iterator[int]:
        done = int(session.state.step.numpy())
        for number in range(done, done + _STEPS_AHEAD):
            yield from pipeline.training_rows(
                session.splits["train"],
                global_batch_size=config.global_batch_size,
                seed=config.seed,
                step=number,
            )

    loop = loop_lib.compile_train(strategy, session.state, session.recipe)
    return _paced(session, loop, input_fn, ("train", upcoming))


def _evaluation_loop(session: session_lib.Session, name: str) -> pace.PacedLoop:
    input_fn = pipeline.evaluation(
        session.splits[name], global_batch_size=session.config.global_batch_size
    )
    loop = loop_lib.compile_evaluation(
        session.runtime.strategy, session.state, session.recipe
    )
    split = session.splits[name]
    return _paced(session, loop, input_fn, (name, lambda: pipeline.all_rows(split)))


def _paced(
    session: session_lib.Session,
    loop: loop_lib.Loop,
    input_fn: pipeline.InputFn,
    reads: tuple[str, Callable[[], Iterable[int]]],
) -> pace.PacedLoop:
    """Return the loop over what `input_fn` gives.

    Args:
        session: Of the run.
        loop: Of compiled steps.
        input_fn: Of its batches.
        reads: The split that is read, and the rows that may have been asked for when
            the loop fails.
    """
    config, (name, rows) = session.config, reads
    batches = session.runtime.strategy.distribute_datasets_from_function(
        lambda context: loop_lib.stamped(input_fn(context))
    )

    @contextlib.contextmanager
    def limit(compiles: bool) -> Iterator[None]:
        bound = session.limit("A loop of steps")
        if compiles:
            seconds = config.watchdog.compile_seconds
            key = "watchdog.compile_seconds"
            bound = watchdog.limit(seconds, "Compiling a step", key)
        naming = inputs_lib.naming_faults(session.splits[name], rows)
        with bound, inputs_lib.reading(config.data.dir), naming:
            yield

    def agree(num_steps: int) -> int:
        with session.limit("Agreeing with the other workers"):
            return session.runtime.workers.chiefs_number(num_steps)

    return pace.PacedLoop(
        loop,
        iter(batches),
        max_steps=config.steps_per_loop,
        max_seconds=config.log_every_seconds,
        agree=agree,
        limit=limit,
    )


def _evaluate(
    session: session_lib.Session, name: str, loop: pace.PacedLoop
) -> metrics.Evaluation | None:
    """Return the means over a whole split, or None when asked to stop on the way."""
    num_batches = pipeline.evaluation_steps(
        session.splits[name], session.config.global_batch_size
    )
    sums: list[np.ndarray] = []
    while len(sums) < num_batches:
        with session.limit("Agreeing with the other workers"):
            stops = session.runtime.workers.any(session.stop.is_set())[0]
        if stops:
            return None
        sums.extend(loop(num_batches - len(sums)).rows)
        session.log.evaluation(name, len(sums), num_batches)
    return metrics.evaluation_means(np.stack(sums))


def _after_validation(
    record: progress.Progress, scores: metrics.Evaluation, session: session_lib.Session
) -> progress.Progress:
    if not np.isfinite(scores.loss):
        raise _not_finite("validation loss", scores.loss, session)
    schedule = session.config.schedule
    plateau = schedule.name == "plateau"
    return progress.after_validation(
        record,
        scores.loss,
        scores.accuracy,
        plateau_factor=schedule.plateau_factor if plateau else 1.0,
        plateau_patience=schedule.plateau_patience,
        plateau_min_delta=schedule.plateau_min_delta,
    )


def _is_finished(record: progress.Progress, config: ml_collections.ConfigDict) -> bool:
    return record.validated_epochs >= config.num_epochs or progress.should_stop(
        record, config.early_stopping.patience
    )


def _check_steps(rows: np.ndarray, done: int, session: session_lib.Session) -> None:
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        first = int(bad.argmax())
        values = dict(zip(metrics.TRAIN, rows[first].tolist(), strict=True))
        name = next(n for n, value in values.items() if not np.isfinite(value))
        raise _not_finite(f"{name} of step {done + first + 1}", values[name], session)


def _not_finite(
    what: str, value: float, session: session_lib.Session
) -> errors.UserError:
    config = session.config
    return errors.UserError(
        f"The {what} is {value}: training diverged. Start in another --workdir with a "
        f"lower `optimizer.learning_rate` ({config.optimizer.learning_rate}) or "
        f"`sam.rho` ({config.sam.rho}); the last good checkpoint stays in "
        f"{session.workdir}."
    )
