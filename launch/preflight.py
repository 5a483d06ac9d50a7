"""Refuse, before anything costs money, what the trainer would refuse on the slice."""

import os
import pathlib
from collections.abc import Sequence

from launch import accelerators, trainer
from sam_pod import config as config_lib
from sam_pod import errors
from sam_pod import main as main_lib


def trainer_arguments(
    arguments: Sequence[str], accelerator: accelerators.Accelerator
) -> tuple[str, ...]:
    """Return the trainer's arguments as they hold on the slice.

    Raises:
        UserError: the trainer would refuse them there.
        SystemExit: after showing the trainer's help.
    """
    values, recipe = main_lib.parse(["sam_pod.main", *arguments])
    _check_address(values.tpu, values.config.runtime.strategy)
    _check_workdir(values.workdir, accelerator)
    _check_reach("config.data.dir", values.config.data.dir, accelerator)
    config_lib.per_replica_batch_size(
        values.config.global_batch_size,
        accelerator.replicas,
        values.config.accumulate_steps * values.config.sam.micro_batches,
    )
    model = values.config.model.name
    if model.endswith(".keras") and not is_remote(model):
        _shipped("--config.model.name", model)
    path, mark, variant = recipe.partition(":")
    _, rest = main_lib._split_recipe(list(arguments))
    return (f"--config={_shipped('--config', path)}{mark}{variant}", *rest)


def is_remote(path: str) -> bool:
    """Return whether every host reads the same at this path."""
    return path.startswith("gs://") and len(path) > len("gs://")


def _check_address(address: str, strategy: str) -> None:
    if address:
        raise errors.UserError(
            f"--tpu={address} is not needed: the launcher names the slice's hosts."
        )
    if strategy not in ("auto", "tpu"):
        raise errors.UserError(
            f"`runtime.strategy` is {strategy!r}; on a TPU it must be 'auto' or 'tpu'."
        )


def _check_workdir(workdir: str, accelerator: accelerators.Accelerator) -> None:
    if not workdir:
        raise errors.UserError(
            "No --workdir; give --workdir=gs://BUCKET/FOLDER, so that the run can be "
            "continued on another slice."
        )
    if not is_remote(workdir) and accelerator.is_pod:
        raise errors.UserError(
            f"--workdir={workdir} is not on gs://, and {accelerator.name} has "
            f"{accelerator.hosts} hosts that all write there; give "
            "--workdir=gs://BUCKET/FOLDER."
        )


def _check_reach(key: str, path: str, accelerator: accelerators.Accelerator) -> None:
    if accelerator.is_pod and not is_remote(path):
        raise errors.UserError(
            f"`{key.removeprefix('config.')}` is {path!r}, which the "
            f"{accelerator.hosts} hosts of {accelerator.name} cannot read; copy the "
            f"prepared data to a bucket and give --{key}=gs://BUCKET/FOLDER."
        )


def _shipped(flag: str, path: str) -> str:
    """Return a file's path in the project's folder on the slice."""
    here = pathlib.Path(os.path.abspath(path))
    if here.is_relative_to(trainer.ROOT):
        inside = here.relative_to(trainer.ROOT)
        if inside.parts[0] in trainer.SHIPPED:
            return str(inside)
    raise errors.UserError(
        f"{flag}={path} is not shipped to the slice: move the file to "
        f"{trainer.ROOT / 'configs'}."
    )
