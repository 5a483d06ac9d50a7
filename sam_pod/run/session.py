"""What a run holds while its process lives, and how it is set up.

Everything that the user may have got wrong is checked before the workdir is made.
"""

import contextlib
import dataclasses
import functools
import json
import os
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any

import ml_collections
import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.config import batch
from sam_pod.data.input import dataset, pipeline
from sam_pod.input_range import decision, first_layer
from sam_pod.machines import groups, tpu
from sam_pod.machines.runtime import Runtime
from sam_pod.machines.workers import Workers
from sam_pod.models import model_file
from sam_pod.process import watchdog
from sam_pod.run import (
    build,
    contact_sheet,
    continuing,
    digests,
    event_files,
    identity,
    spread,
    surroundings,
    writers,
)
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.run import inputs as inputs_lib
from sam_pod.run import log as log_lib
from sam_pod.run import workdir as workdir_lib
from sam_pod.step import passes, schedules
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Session:
    """What a run holds while the process lives."""

    config: ml_collections.ConfigDict
    workdir: str
    lock: IO | None  # Of the workdir; the chief's.
    runtime: Runtime
    stop: threading.Event
    splits: dict[str, pipeline.Split]
    epoch_steps: int
    recipe: Recipe
    state: state_lib.TrainState
    checkpoints: checkpoints_lib.Checkpoints
    writer: writers.Writer
    log: log_lib.ProgressLog
    # Writes what a new run is made of, once its first step is done.
    introduce: Callable[[], None]

    def limit(self, what: str) -> contextlib.AbstractContextManager:
        """Bound the time of what needs an answer from other machines."""
        seconds = self.config.watchdog.loop_seconds
        return watchdog.limit(seconds, what, "watchdog.loop_seconds")


def set_up(
    config: ml_collections.ConfigDict,
    workdir: str,
    runtime: Runtime,
    stop: threading.Event,
    accepted: frozenset[str] = frozenset(),
) -> Session:
    """Check everything, then make the workdir, and restore what it holds."""
    workers, num_replicas = runtime.workers, runtime.strategy.num_replicas_in_sync
    # First, so that what follows refuses a config on all workers or on none.
    with _limit(config, "Comparing the workers"):
        located = workdir_lib.locate(workdir, config)
        identity.check(identity.of(config, _told_model(located)), workers)
    batch.per_replica_batch_size(
        config.global_batch_size,
        num_replicas,
        config.sam.micro_batches * config.accumulate_steps,
    )
    build.check_names(located, num_replicas)
    with runtime.host_scope():
        inputs_lib.prepare_missing(config, workers, stop)
    # Even what happens on this machine may wait for one that does not answer.
    with _limit(config, "Setting up"):
        return _set_up(config, located, workdir, runtime, stop, accepted)


def _told_model(config: ml_collections.ConfigDict) -> dict[str, str]:
    """Return the digests of the model, or why this worker has none."""
    try:
        return digests.of_model(config)
    except errors.UserError as error:
        return {"model.name": str(error)}


def _limit(
    config: ml_collections.ConfigDict, what: str
) -> contextlib.AbstractContextManager:
    seconds = config.watchdog.connect_seconds
    return watchdog.limit(seconds, what, "watchdog.connect_seconds")


def _set_up(
    config: ml_collections.ConfigDict,
    located: ml_collections.ConfigDict,
    workdir: str,
    runtime: Runtime,
    stop: threading.Event,
    accepted: frozenset[str] = frozenset(),
) -> Session:
    workers, num_replicas = runtime.workers, runtime.strategy.num_replicas_in_sync
    decisions = _decisions(workdir, workers)
    located = dataset.as_decided(located, decisions)
    with runtime.host_scope():
        data = dataset.load(located)
    splits = data.splits(dataset.held_out(config))
    epoch_steps = pipeline.steps_per_epoch(splits["train"], config.global_batch_size)
    with runtime.host_scope():
        recipe = build.recipe(located, data.manifest, num_replicas, decisions=decisions)
    is_new = decisions is None
    decisions = {
        **(decisions or {}),
        decision.KEY: recipe.input_range.name,
        dataset.CHANNELS: dataset.channels(located, data.manifest),
    }
    inputs = digests.of_inputs(located, data.manifest.digest())
    identity.check(identity.of(config, {**inputs, **decisions}), workers)
    inputs_lib.check_reach(data, runtime)
    _check_neighbours(config.sam.sync, runtime)

    lock, changes = None, []
    if workers.is_chief:
        spread_now = _spread(config, runtime, recipe)
        changes = [
            continuing.check_spread(workdir, config, spread_now, accepted),
            _change_of_epochs(workdir, config, epoch_steps),
        ]
        lock = _begin(workdir, config, inputs, located, decisions)
        continuing.note_spread(workdir, spread_now)
        surroundings.note(workdir)
    state, checkpoints, is_restored = _restore(workdir, config, runtime, recipe)
    for line in filter(None, changes):  # Now that nothing refuses them any more.
        logging.info(line)
    if workers.is_chief and not is_new:
        last = _kept_events(workdir, state, epoch_steps)
        event_files.cut(workdir, last if is_restored else event_files.NOTHING)
    writer = writers.Writer(workdir, runtime)
    total_steps = config.num_epochs * epoch_steps
    if is_restored:
        logging.info("Continuing after step %d/%d.", state.step.numpy(), total_steps)
    introduce = _nothing
    if workers.is_chief and not is_restored:
        with runtime.host_scope():
            first = _first_examples(config, splits["train"], recipe)
        introduce = functools.partial(
            _introduce, config, recipe, data.manifest.classes, writer, first.examples
        )
    log = log_lib.ProgressLog(config.log_every_seconds, total_steps, epoch_steps)
    return Session(
        config=config,
        workdir=workdir,
        lock=lock,
        runtime=runtime,
        stop=stop,
        splits=splits,
        epoch_steps=epoch_steps,
        recipe=recipe,
        state=state,
        checkpoints=checkpoints,
        writer=writer,
        log=log,
        introduce=introduce,
    )


def _nothing() -> None:
    """Introduce a run that was introduced before, or by another worker."""


def _first_examples(
    config: ml_collections.ConfigDict, split: pipeline.Split, recipe: Recipe
) -> contact_sheet.First:
    """Return the first examples of a run; warn where a model cannot learn from them."""

    def first_rows() -> np.ndarray:
        return pipeline.training_rows(
            split,
            global_batch_size=config.global_batch_size,
            seed=config.seed,
            step=0,
        )

    naming = inputs_lib.naming_faults(split, first_rows)
    with inputs_lib.reading(config.data.dir), naming:
        first = contact_sheet.first(recipe, split, config.global_batch_size)
    first_layer.check(recipe, first.images, first.examples.images, config.model.name)
    return first


def _introduce(
    config: ml_collections.ConfigDict,
    recipe: Recipe,
    classes: Sequence[str],
    writer: writers.Writer,
    examples: passes.Examples,
) -> None:
    writer.setup(config, recipe.network.initial_weights())
    writer.contact_sheet(*contact_sheet.make(recipe, examples, classes))


def _begin(
    workdir: str,
    config: ml_collections.ConfigDict,
    inputs: dict[str, str],
    located: ml_collections.ConfigDict,
    decisions: dict[str, Any],
) -> IO:
    name = located.model.name
    model = model_file.read(name) if model_file.is_path(name) else None
    return workdir_lib.begin(workdir, config, inputs, model, decisions)


def _decisions(workdir: str, workers: Workers) -> dict[str, Any] | None:
    """Return what the run decided when it began, which its chief can read."""
    own = workdir_lib.read_decisions(workdir) if workers.is_chief else None
    return json.loads(workers.chiefs_bytes(json.dumps(own).encode()))


def _spread(
    config: ml_collections.ConfigDict, runtime: Runtime, recipe: Recipe
) -> spread.Spread:
    num_replicas = runtime.strategy.num_replicas_in_sync
    return spread.of(
        config,
        num_replicas,
        runtime.workers.count,
        groups.size(config.sam.sync, num_replicas),
        has_batch_norm=recipe.network.has_batch_norm,
    )


def _change_of_epochs(
    workdir: str, config: ml_collections.ConfigDict, epoch_steps: int
) -> str:
    """Return what another number of epochs does, in a line; '' where it is the same."""
    if workdir_lib.read_json(os.path.join(workdir, workdir_lib.CONFIG)) is None:
        return ""
    old = workdir_lib.read_config(workdir)
    if old.num_epochs == config.num_epochs:
        return ""
    line = f"`num_epochs` goes from {old.num_epochs} to {config.num_epochs}"
    step, _ = continuing.done(workdir)
    if config.schedule.name != "cosine":
        return f"{line}; the learning rate goes on as before."
    one = tf.constant(1.0)
    before, after = (
        float(schedules.build(each, epoch_steps)(tf.constant(step), one))
        for each in (old, config)
    )
    return (
        f"{line}: the cosine of the learning rate ends there, and the rate goes from "
        f"{before:.3g} to {after:.3g} after step {step}."
    )


def _restore(
    workdir: str, config: ml_collections.ConfigDict, runtime: Runtime, recipe: Recipe
) -> tuple[state_lib.TrainState, checkpoints_lib.Checkpoints, bool]:
    """Return the state, its checkpoints, and whether it comes from one of them."""
    workers = runtime.workers
    state = state_lib.create(runtime.strategy, recipe.network, recipe.optimizer)
    checkpoints = checkpoints_lib.Checkpoints(
        os.path.join(workdir, workdir_lib.CHECKPOINTS),
        state,
        host_device=runtime.host_device,
        enabled=workers.is_chief,
    )
    is_restored = workers.is_chief and checkpoints.restore_latest()
    share_state(state, workers)
    return state, checkpoints, is_restored


def _kept_events(
    workdir: str, state: state_lib.TrainState, epoch_steps: int
) -> event_files.Limits:
    epochs = int(state.read_progress().validated_epochs)
    return event_files.limits(
        int(state.step.numpy()), epochs * epoch_steps, workdir_lib.read_result(workdir)
    )


def share_state(state: state_lib.TrainState, workers: Workers) -> None:
    """Give every worker the chief's state, bit for bit.

    The workers need no common file system, and no common arithmetic for the initial
    weights.
    """
    if workers.count == 1:
        return
    arrays = state_lib.to_arrays(state)
    data = workers.chiefs_bytes(b"".join(array.tobytes() for array in arrays))
    ends = np.cumsum([array.nbytes for array in arrays])
    state_lib.assign_arrays(
        state,
        [
            np.frombuffer(data[end - a.nbytes : end], a.dtype).reshape(a.shape)
            for a, end in zip(arrays, ends, strict=True)
        ],
    )


def _check_neighbours(sync: str, runtime: Runtime) -> None:
    size = groups.size(sync, runtime.strategy.num_replicas_in_sync)
    where = runtime.coordinates
    if where is not None and not tpu.are_neighbours(where, size):
        logging.warning(
            "`sam.sync` is %s, and such groups of chips are not neighbours on this "
            "slice: their all-reduce crosses other groups' links.",
            sync,
        )
