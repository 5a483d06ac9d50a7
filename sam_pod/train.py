"""Train, validate, save, stop, test: one run from its config to its result.

Reads top to bottom. The host wakes between compiled loops only; what a step computes
is in step/algorithm.py.
"""

import contextlib
import functools
import gc
import threading
from collections.abc import Callable, Iterable
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.instruments import watch as watch_lib
from sam_pod.machines.runtime import Runtime
from sam_pod.process import signals
from sam_pod.run import (
    checkpoints,
    continuing,
    diverged,
    finished,
    lengths,
    loops,
    pace,
    restoring,
    result,
    result_file,
)
from sam_pod.run import saver as saver_lib
from sam_pod.run import session as session_lib
from sam_pod.step import metrics, progress


def run(
    config: ml_collections.ConfigDict,
    workdir: str,
    runtime: Runtime,
    stop: threading.Event,
    accepted: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Train to the end, continuing what is in `workdir`, and return the result.

    Args:
        config: A validated config.
        workdir: A new folder, or that of a run of the same config. With several workers
            the chief's counts.
        runtime: The runtime to train on.
        stop: An event; once it is set on any worker, the run saves and raises within
            one loop.
        accepted: The accepted changes, some of `keys.ACCEPTABLE`.

    Raises:
        Interrupted: `stop` was set; the state is saved.
        UserError: what the user can fix, in one line.
    """
    result_before = finished.agreed(workdir, config, runtime.workers)
    if result_before is not None:
        return result_before
    session = session_lib.set_up(config, workdir, runtime, stop, accepted)
    try:
        fit(session)
        return test(session)
    except checkpoints.NotFinite as error:
        raise diverged.error(f"variable {error.name}", np.nan, session) from error
    finally:
        # The lock last: a save in progress writes into the folder that it holds.
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
    config, state = session.config, session.state
    with session.bounded("Starting the input"):
        done, record = int(state.step.numpy()), state.read_progress()
        train_loop = loops.train_loop(session, done)
    saver = saver_lib.Saver(session, record)
    # Its input is not built before the first step.
    validation_loop = functools.cache(lambda: _evaluation_loop(session, "validation"))
    watch = watch_lib.Watch(session)
    to_profile = config.profile_steps

    while not _is_finished(record, config):
        left = int(record.validated_epochs + 1) * session.epoch_steps - done
        if left > 0 and not train_loop.is_compiled:
            done += _first_steps(session, train_loop, done, left)
            if session.validates:
                validation_loop()
            session.log.start(done)
        elif left > 0:
            done += _next_steps(session, train_loop, done, left, to_profile)
            to_profile = 0
        elif after := _after_epoch(session, record, done, validation_loop, watch):
            record = after
            session.meter.validated(record, done, saver.seconds)
            if progress.is_best(record):
                saver.save_best(record)
            saver.save(record)
        gc.enable()  # Disabled by main.py until here.
        saver.save_if_due_or_stopped(record)
    if record.validated_epochs < config.num_epochs:
        session.log.stopped_early(record, config.num_epochs)


def _first_steps(
    session: session_lib.Session, loop: pace.PacedLoop, done: int, left: int
) -> int:
    """Compile the loop and run it for the first time; return how many steps it ran."""
    session.log.compiling(_size(session.state.weights))
    rows = loop(left).rows
    diverged.check_steps(rows, done, session)
    session.log.compiled(done + len(rows))
    with session.bounded("Describing the run"), session.runtime.host_scope():
        session.introduce()
    session.writer.steps(done + 1, rows, session.recipe.metrics)
    return len(rows)


def _next_steps(
    session: session_lib.Session,
    loop: pace.PacedLoop,
    done: int,
    left: int,
    to_profile: int,
) -> int:
    """Run the loop, under the profiler where asked; return how many steps it ran."""
    ran = _profiled(session, loop, min(to_profile, left)) if to_profile else loop(left)
    diverged.check_steps(ran.rows, done, session)
    session.meter.waited(ran)
    session.writer.steps(done + 1, ran.rows, session.recipe.metrics)
    done += len(ran.rows)
    rate = ran.steps_per_second * session.config.global_batch_size
    speed = {
        metrics.EXAMPLES_PER_SECOND: rate,
        metrics.WAIT_FRACTION: ran.wait_fraction,
    }
    session.writer.scalars(done, speed)
    session.log.steps(done, ran.rows, speed)
    return len(ran.rows)


def _profiled(
    session: session_lib.Session, loop: pace.PacedLoop, num_steps: int
) -> pace.Ran:
    with session.writer.profile():
        return loop.exactly(num_steps)


def test(session: session_lib.Session) -> dict[str, Any]:
    """Read the test set, once all is decided: with the last weights and the best ones.

    The result is that of the weights that the recipe asks for.

    Raises:
        Interrupted: asked to stop; the run is saved but for this.
    """
    with session.bounded("Starting the input"):
        steps, record = int(session.state.step.numpy()), session.state.read_progress()
        loop = loops.evaluation_loop(session, "test")
    by_weights = {"last": _test_pass(session, loop)}
    if session.state.average:
        by_weights["not_averaged"] = _test_without_average(session)
    if progress.is_best(record):
        by_weights["best"] = by_weights["last"]
    elif session.validates and _restore_best(session):
        by_weights["best"] = _test_pass(session, loop)
    is_best = session.config.early_stopping.restore_best_weights
    scores = by_weights["best" if is_best else "last"]
    session.writer.evaluation("test", steps, scores)
    if scores is by_weights.get("best") and not progress.is_best(record):
        session.log.tested_best(int(record.best_epoch), by_weights["last"].accuracy)
    session.writer.flush()
    summary = result.summarize(
        session.config, session.recipe.network, record, scores, steps
    )
    summary["versions"] |= session.runtime.versions
    workers = session.runtime.workers
    if workers.is_chief:
        summary |= result.spent(session.meter, steps) | result.tested(by_weights)
        summary |= continuing.spread_of(session.workdir) | lengths.of(session.workdir)
        summary |= result.labels(session.label_noise)
        result_file.write(session.workdir, summary)
    saver_lib.wait_for_all(session)
    return summary


def _test_without_average(session: session_lib.Session) -> metrics.Evaluation:
    """Return the scores of the weights themselves, where their average is tested."""
    with session.bounded("Starting the input"):
        loop = loops.evaluation_loop(session, "test", averaged=False)
    return _test_pass(session, loop)


def _test_pass(
    session: session_lib.Session, loop: pace.PacedLoop
) -> metrics.Evaluation:
    scores = loops.whole_pass(session, "test", loop)
    if scores is None:
        saver_lib.wait_for_all(session)
        raise signals.Interrupted
    return scores


def _restore_best(session: session_lib.Session) -> bool:
    """Restore the best weights on all workers; return whether the chief has some."""
    workers = session.runtime.workers
    with session.bounded("Restoring the best weights"):
        is_there = not workers.is_chief or session.checkpoints.has_best()
        if not workers.any(not is_there)[0]:
            if workers.is_chief:
                session.checkpoints.restore_best()
            restoring.share_state(session.state, workers)
            session.executor.reload(session.state)
            return True
    if session.config.early_stopping.restore_best_weights:
        session.checkpoints.restore_best()  # Says what is missing.
    logging.warning("The best checkpoint is gone: only the last weights are tested.")
    return False


def _after_epoch(
    session: session_lib.Session,
    record: progress.Progress,
    done: int,
    validation_loop: Callable[[], pace.PacedLoop],
    watch: watch_lib.Watch,
) -> progress.Progress | None:
    """Validate, and measure where that is due; return the record after it.

    It is None when asked to stop. Then all of it is done again when the run continues.
    """
    scores = None
    if session.validates:
        scores = loops.whole_pass(session, "validation", validation_loop())
        if scores is None:
            return None
        record = _after_validation(record, scores, session)
    else:
        record = progress.without_validation(record)
    is_last = _is_finished(record, session.config)
    is_due = watch.is_due(int(record.validated_epochs), is_last=is_last)
    if is_due and not watch.measure(done):
        return None
    if scores is not None:
        session.writer.evaluation("validation", done, scores)
    return record


def _size(variables: Iterable[tf.Variable]) -> int:
    return sum(variable.shape.num_elements() for variable in variables)


def _evaluation_loop(session: session_lib.Session, name: str) -> pace.PacedLoop:
    with session.bounded("Starting the input"):
        return loops.evaluation_loop(session, name)


def _after_validation(
    record: progress.Progress, scores: metrics.Evaluation, session: session_lib.Session
) -> progress.Progress:
    if not np.isfinite(scores.loss):
        raise diverged.error("validation loss", scores.loss, session)
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
