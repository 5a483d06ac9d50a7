"""What a run holds while its process lives, and how it is set up.

Everything that the user may have got wrong is checked before the workdir is made.
"""

import contextlib
import dataclasses
import functools
import json
import threading
from collections.abc import Callable
from typing import IO, Any

import ml_collections
from absl import logging

from sam_pod import errors
from sam_pod.config import batch
from sam_pod.data.input import pipeline
from sam_pod.machines import groups, tpu
from sam_pod.machines.runtime import Runtime
from sam_pod.process import watchdog
from sam_pod.run import (
    build,
    claim,
    digests,
    execution,
    first_page,
    identity,
    initial_weights,
    loading,
    restoring,
    spending,
    writers,
)
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.run import inputs as inputs_lib
from sam_pod.run import log as log_lib
from sam_pod.run import workdir as workdir_lib
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Session:
    """What a run holds while the process lives."""

    config: ml_collections.ConfigDict
    workdir: str
    lock: IO | None  # The chief's lock of the workdir.
    runtime: Runtime
    executor: execution.Executor
    stop: threading.Event
    splits: dict[str, pipeline.Split]
    epoch_steps: int
    # What is known of labels that are wrong on purpose; None for none.
    label_noise: dict[str, Any] | None
    recipe: Recipe
    float32_recipe: Callable[[], Recipe]  # The same with float32 arithmetic.
    state: state_lib.TrainState
    checkpoints: checkpoints_lib.Checkpoints
    writer: writers.Writer
    log: log_lib.ProgressLog
    meter: spending.Meter
    # Writes the description of a new run, once its first step is done.
    introduce: Callable[[], None]

    @property
    def validates(self) -> bool:
        """Whether there are examples to validate on."""
        return "validation" in self.splits

    def bounded(self, what: str) -> contextlib.AbstractContextManager:
        """Bound the time of a call that needs an answer from other machines."""
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
    asked = claim.Asked(config, workdir, runtime, accepted)
    # First, so that the checks that follow refuse a config on all workers or on none.
    with asked.bounded("Comparing the workers"):
        located = workdir_lib.locate(workdir, config)
        identity.check(identity.of(config, _model_digests(located)), runtime.workers)
    _check(asked, located)
    with runtime.host_scope():
        is_chief = runtime.workers.is_chief
        source = initial_weights.find(workdir, located) if is_chief else None
        inputs_lib.prepare_missing(config, runtime.workers, stop)
    # Even what happens on this machine may wait for one that does not answer.
    with asked.bounded("Setting up"):
        decided = _stored_decisions(asked)
        loaded = loading.load(located, decided, runtime)
        _check_loaded(asked, loaded)
        lock, changes = claim.hold(asked, loaded, source, decided)
        restored = restoring.restore(workdir, runtime, loaded.recipe)
        for line in changes:  # Now that nothing refuses them any more.
            logging.info(line)
        if runtime.workers.is_chief and not loaded.is_new:
            restoring.cut(workdir, restored, loaded.epoch_steps)
        return _session(asked, loaded, restored, lock, stop)


def _model_digests(config: ml_collections.ConfigDict) -> dict[str, str]:
    """Return the digests of the model, or why this worker has none."""
    try:
        return digests.of_model(config)
    except errors.UserError as error:
        return {"model.name": str(error)}


def _check(asked: claim.Asked, located: ml_collections.ConfigDict) -> None:
    """Refuse what can be refused without the data."""
    batch.per_replica_batch_size(
        located.global_batch_size,
        asked.num_replicas,
        located.sam.micro_batches * located.accumulate_steps,
    )
    build.check_names(located, asked.num_replicas)


def _stored_decisions(asked: claim.Asked) -> dict[str, Any] | None:
    """Return what the run decided when it began, which its chief can read."""
    workers = asked.runtime.workers
    own = workdir_lib.read_decisions(asked.workdir) if workers.is_chief else None
    return json.loads(workers.chiefs_bytes(json.dumps(own).encode()))


def _check_loaded(asked: claim.Asked, loaded: loading.Loaded) -> None:
    """Refuse workers or machines that have other inputs."""
    own = identity.of(asked.config, {**loaded.inputs, **loaded.decisions})
    identity.check(own, asked.runtime.workers)
    inputs_lib.check_reach(loaded.data, asked.runtime)
    _check_neighbours(asked.config.sam.sync, asked.runtime)


def _check_neighbours(sync: str, runtime: Runtime) -> None:
    size = groups.size(sync, runtime.strategy.num_replicas_in_sync)
    where = runtime.coordinates
    if where is not None and not tpu.are_neighbours(where, size):
        logging.warning(
            "`sam.sync` is %s, and such groups of chips are not neighbours on this "
            "slice: their all-reduce crosses other groups' links.",
            sync,
        )


def _session(
    asked: claim.Asked,
    loaded: loading.Loaded,
    restored: restoring.Restored,
    lock: IO | None,
    stop: threading.Event,
) -> Session:
    """Open what the run writes to; log where it continues, or draft its first page."""
    config, runtime = asked.config, asked.runtime
    writer = writers.Writer(asked.workdir, runtime)
    total_steps = config.num_epochs * loaded.epoch_steps
    introduce = first_page.nothing
    if noise := loaded.data.manifest.noise_in_words():
        logging.info("The data have %s.", noise)
    if restored.is_old:
        step = restored.state.step.numpy()
        logging.info("Continuing after step %d/%d.", step, total_steps)
    elif runtime.workers.is_chief:
        classes = loaded.data.manifest.classes
        with runtime.host_scope():
            introduce = first_page.draft(
                config, loaded.splits["train"], loaded.recipe, classes, writer
            )
    return Session(
        config=config,
        workdir=asked.workdir,
        lock=lock,
        runtime=runtime,
        executor=execution.of(runtime),
        stop=stop,
        splits=loaded.splits,
        epoch_steps=loaded.epoch_steps,
        label_noise=loaded.data.manifest.noise_summary(),
        recipe=loaded.recipe,
        float32_recipe=functools.partial(_in_float32, asked, loaded),
        state=restored.state,
        checkpoints=restored.checkpoints,
        writer=writer,
        log=log_lib.ProgressLog(
            config.log_every_seconds, total_steps, loaded.epoch_steps
        ),
        meter=spending.Meter(
            asked.workdir,
            loaded.recipe.variant,
            loaded.recipe.cadence,
            is_chief=runtime.workers.is_chief,
        ),
        introduce=introduce,
    )


def _in_float32(asked: claim.Asked, loaded: loading.Loaded) -> Recipe:
    if asked.config.dtype == "float32":
        return loaded.recipe
    config = loaded.located.copy_and_resolve_references()
    config.dtype = "float32"
    with asked.runtime.host_scope():
        return build.recipe(
            config,
            loaded.data.manifest,
            asked.num_replicas,
            decisions=loaded.decisions,
        )
