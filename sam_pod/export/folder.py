"""Write a run as a folder of artifacts, whole or not at all."""

import json
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors, new_folder
from sam_pod.export import keras_models
from sam_pod.export import manifest as manifest_lib
from sam_pod.export import trained as trained_lib
from sam_pod.export.trained import Trained
from sam_pod.lowering import programs as programs_lib
from sam_pod.lowering import stablehlo
from sam_pod.lowering.programs import Program


def write(
    workdir: str,
    output: str,
    *,
    which: str = "latest",
    num_replicas: int = 1,
    batch_size: int | None = None,
    data_dir: str = "",
    check: Callable[[], object] = lambda: None,
) -> None:
    """Write the run in a folder to the folder `output`.

    Args:
        workdir: Of the run.
        output: A folder that is empty or does not exist.
        which: Checkpoint: 'latest' or 'best'.
        num_replicas: Of the training step.
        batch_size: Of the inference program; None for that of a replica's step.
        data_dir: Of the prepared data, '' for what the run's config says.
        check: Called between parts of the work; what it raises ends it.

    Raises:
        UserError: the run, its data or the output is not as it must be.
    """
    new_folder.check(output)  # Before minutes of work.
    trained = trained_lib.read(workdir, which, data_dir)
    check()
    programs = _lower(trained, num_replicas, batch_size, check)
    with new_folder.write(output) as folder:
        _write_files(folder, trained, programs, check)
    logging.info("Exported step %d to %s", trained.checkpoint.step, output)


def _lower(
    trained: Trained,
    num_replicas: int,
    batch_size: int | None,
    check: Callable[[], object],
) -> dict[str, Program]:
    config, image_shape = trained.config, trained.image_shape
    _check_replicas(trained, num_replicas)
    share = config.global_batch_size // num_replicas
    logging.info("Lowering the inference of %d images.", batch_size or share)
    inference = programs_lib.inference(
        trained.recipe, image_shape, batch_size=batch_size or share
    )
    check()
    logging.info("Lowering the training step on %d x %d images.", num_replicas, share)
    recipe = trained.recipe
    if num_replicas > 1:
        recipe = trained_lib.build_recipe(config, trained.data, num_replicas)
    train_step = programs_lib.train_step(
        recipe,
        image_shape,
        num_replicas=num_replicas,
        per_replica_batch_size=share,
    )
    check()
    return {"train_step": train_step, "inference": inference}


def _check_replicas(trained: Trained, num_replicas: int) -> None:
    """Refuse replicas among which the run's batch cannot be dealt out.

    Raises:
        UserError: with the numbers that are possible.
    """
    config = trained.config
    size, sync = config.global_batch_size, config.sam.sync
    parts = config.sam.micro_batches * config.accumulate_steps
    group = int(sync) if sync.isdecimal() else 1
    possible = [n for n in range(group, size + 1, group) if size % (n * parts) == 0]
    if num_replicas not in possible:
        raise errors.UserError(
            f"--replicas is {num_replicas}; the run's `global_batch_size` ({size}), "
            f"`sam.micro_batches` times `accumulate_steps` ({parts}) and `sam.sync` "
            f"({sync}) allow {possible}: take one of these."
        )


def _write_files(
    folder: str,
    trained: Trained,
    programs: dict[str, Program],
    check: Callable[[], object],
) -> None:
    recipe, values = trained.recipe, trained.checkpoint.values

    def path(name: str) -> str:
        return os.path.join(folder, name)

    for name, program in programs.items():
        artifact = stablehlo.portable(
            program.hlo, program.aliases, manifest_lib.STABLEHLO_VERSION
        )
        with open(path(manifest_lib.program_file(name)), "wb") as file:
            file.write(artifact)
        check()
    tensors = programs_lib.state_tensors(recipe)
    arrays = tf.nest.flatten(values)
    named = zip(map(manifest_lib.key, tensors), arrays, strict=True)
    np.savez(path(manifest_lib.VALUES), **dict(named))
    logging.info("Writing the SavedModel and the Keras file.")
    keras_models.write_saved_model(
        path(manifest_lib.SAVED_MODEL), recipe, values, trained.image_shape
    )
    check()
    keras_models.write_keras_file(path(manifest_lib.KERAS_FILE), recipe, values)
    with open(path(manifest_lib.FILE), "w", encoding="utf-8") as file:
        json.dump(manifest_lib.describe(trained, programs), file, indent=2)
        file.write("\n")
    check()
