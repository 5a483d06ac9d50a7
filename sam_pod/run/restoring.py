"""The state of a run as its process begins: new or restored, the same everywhere."""

import os
from typing import NamedTuple

from sam_pod.machines.runtime import Runtime
from sam_pod.machines.workers import Workers
from sam_pod.models import transfer
from sam_pod.run import (
    checkpoint_folder,
    curve,
    event_files,
    initial_weights,
    result_file,
)
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.run import workdir as workdir_lib
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


class Restored(NamedTuple):
    """A state, and where it is saved."""

    state: state_lib.TrainState
    checkpoints: checkpoints_lib.Checkpoints
    is_old: bool  # The chief has it from a checkpoint.


def restore(workdir: str, runtime: Runtime, recipe: Recipe) -> Restored:
    """Return the state of the chief's last checkpoint, or a new one, on every worker.

    Raises:
        UserError: there are checkpoints and none of them can be read.
    """
    workers = runtime.workers
    directory = os.path.join(workdir, workdir_lib.CHECKPOINTS)
    if workers.is_chief and not checkpoint_folder.paths(directory):
        transfer.give(recipe.network, initial_weights.kept(workdir))
    state = state_lib.create(
        runtime.strategy,
        recipe.network,
        recipe.optimizer,
        recipe.variant,
        recipe.average,
    )
    checkpoints = checkpoints_lib.Checkpoints(
        directory,
        state,
        host_device=runtime.host_device,
        enabled=workers.is_chief,
    )
    is_old = workers.is_chief and checkpoints.restore_latest()
    share_state(state, workers)
    return Restored(state, checkpoints, is_old)


def share_state(state: state_lib.TrainState, workers: Workers) -> None:
    """Give every worker the chief's state, bit for bit.

    The workers need no common file system, and no common arithmetic for the initial
    weights.
    """
    if workers.count == 1:
        return
    arrays = workers.chiefs_arrays(state_lib.to_arrays(state))
    state_lib.assign_arrays(state, arrays)


def cut(workdir: str, restored: Restored, epoch_steps: int) -> None:
    """Cut from events and curve what the state of a run that continues does not know.

    Raises:
        UserError: a file or the result cannot be read or written.
    """
    epochs = int(restored.state.read_progress().validated_epochs)
    last = event_files.limits(
        int(restored.state.step.numpy()),
        epochs * epoch_steps,
        result_file.read(workdir),
    )
    event_files.cut(workdir, last if restored.is_old else event_files.NOTHING)
    curve.cut(workdir, epochs)
