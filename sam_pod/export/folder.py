"""Write a run as a folder of artifacts, whole or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors, wording
from sam_pod.export import keras_models
from sam_pod.export import manifest as manifest_lib
from sam_pod.lowering import programs as programs_lib
from sam_pod.lowering import stablehlo
from sam_pod.lowering.programs import Program
from sam_pod.process import signals
from sam_pod.run import trained as trained_lib
from sam_pod.run.trained import Trained
from sam_pod.storage import faults, new_folder

# Errors whose text alone says why a model has no such form: a UserError if it does not
# compile, others of Keras and TensorFlow for a layer that cannot be written.
_SAY_IT = (ValueError, TypeError, RuntimeError, AssertionError)


def write(
    workdir: str,
    output: str,
    *,
    which: str = "latest",
    num_replicas: int = 1,
    batch_size: int | None = None,
    data_dir: str = "",
    raise_if_stopped: Callable[[], object] = lambda: None,
) -> None:
    """Write the run in a folder to the folder `output`.

    A file that cannot be made of this model is left out: a line of the log and
    `not_made` in the manifest say why.

    Args:
        workdir: The run's folder.
        output: A folder that is empty or does not exist.
        which: The checkpoint: 'latest' or 'best'.
        num_replicas: The replicas of the training step.
        batch_size: The batch of the inference program; None for that of a replica's
            step.
        data_dir: The folder of the prepared data, '' for that of the run's config.
        raise_if_stopped: A function called between parts of the work; what it raises
            ends it.

    Raises:
        UserError: the run, its data or the output is not as it must be, or nothing can
            be made of the model.
    """
    new_folder.check(output)  # Before minutes of work.
    trained = trained_lib.read(workdir, which, data_dir)
    logging.info("%s", trained_lib.in_words(workdir, trained))
    raise_if_stopped()
    not_made: dict[str, str] = {}
    programs = _lower(trained, num_replicas, batch_size, raise_if_stopped, not_made)
    with new_folder.write(output) as folder:
        _write_files(folder, trained, programs, raise_if_stopped, not_made)
    logging.info("Exported step %d to %s", trained.checkpoint.step, output)


@contextlib.contextmanager
def _may_fail(file: str, not_made: dict[str, str]) -> Iterator[None]:
    """Let a model that has no such form, which is no reason to refuse the others.

    Args:
        file: The file that the context makes.
        not_made: The reasons of failures by file, to which this context's is added.
    """
    try:
        yield
    except Exception as error:
        # A layer's own code raises what it likes, and TensorFlow of all kinds.
        if not _is_of_the_model(error):
            raise
        reason = errors.reason(error)
        if not isinstance(error, _SAY_IT) or not reason:
            reason = f"{type(error).__name__}: {reason}".rstrip(": ")
        not_made[file] = reason
        logging.warning("%s cannot be made: %s", file, reason)


def _is_of_the_model(error: Exception) -> bool:
    """Return whether the fault is not a signal's, the disk's or the memory's."""
    is_other = isinstance(error, OSError | signals.Interrupted | faults.StorageLost)
    return not (is_other or faults.is_of_disk(error) or errors.is_out_of_memory(error))


def _lower(
    trained: Trained,
    num_replicas: int,
    batch_size: int | None,
    raise_if_stopped: Callable[[], object],
    not_made: dict[str, str],
) -> dict[str, Program]:
    config, image_shape = trained.config, trained.image_shape
    _check_replicas(trained, num_replicas)
    share = config.global_batch_size // num_replicas
    programs = {}
    images = wording.counted(batch_size or share, "image", "images")
    logging.info("Lowering the inference of %s.", images)
    with _may_fail(manifest_lib.program_file("inference"), not_made):
        programs["inference"] = programs_lib.inference(
            trained.recipe, image_shape, batch_size=batch_size or share
        )
    raise_if_stopped()
    logging.info("Lowering the training step on %d x %d images.", num_replicas, share)
    recipe = trained.recipe
    if num_replicas > 1:
        recipe = trained.recipe_on(num_replicas)
    steps = zip(manifest_lib.step_names(recipe), recipe.programs, strict=True)
    for name, variant in steps:
        with _may_fail(manifest_lib.program_file(name), not_made):
            programs[name] = programs_lib.train_step(
                recipe,
                image_shape,
                num_replicas=num_replicas,
                per_replica_batch_size=share,
                variant=variant,
            )
        raise_if_stopped()
    return programs


def _check_replicas(trained: Trained, num_replicas: int) -> None:
    """Refuse a number of replicas that does not divide the run's batch.

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
    raise_if_stopped: Callable[[], object],
    not_made: dict[str, str],
) -> None:
    recipe, values = trained.recipe, trained.checkpoint.values

    def path(name: str) -> str:
        return os.path.join(folder, name)

    for name, program in list(programs.items()):
        file = manifest_lib.program_file(name)
        with _may_fail(file, not_made):
            artifact = stablehlo.portable(
                program.hlo, program.aliases, manifest_lib.STABLEHLO_VERSION
            )
            with open(path(file), "wb") as stream:
                stream.write(artifact)
        if file in not_made:
            del programs[name]
        raise_if_stopped()
    tensors = programs_lib.state_tensors(recipe)
    arrays = tf.nest.flatten(values)
    named = zip(map(manifest_lib.key, tensors), arrays, strict=True)
    np.savez(path(manifest_lib.VALUES), **dict(named))
    logging.info("Writing the SavedModel and the Keras file.")
    saved_model, keras_file = manifest_lib.SAVED_MODEL, manifest_lib.KERAS_FILE
    with _may_fail(saved_model, not_made):
        keras_models.write_saved_model(
            path(saved_model), recipe, values, trained.image_shape
        )
    raise_if_stopped()
    with _may_fail(keras_file, not_made):
        keras_models.write_keras_file(path(keras_file), recipe, values)
    for unfinished in not_made:
        _remove(path(unfinished.partition("/")[0]))  # With the folder around it.
    if not programs and saved_model in not_made and keras_file in not_made:
        reasons = "; ".join(not_made.values())
        raise errors.UserError(f"Nothing can be made of this model: {reasons}")
    content = manifest_lib.describe(trained, programs, not_made)
    with open(path(manifest_lib.FILE), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    raise_if_stopped()


def _remove(path: str) -> None:
    """Delete a file or a folder, or what there is of it."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)
