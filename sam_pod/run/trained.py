"""A run as its workdir holds it: its recipe, and the values of a checkpoint."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import keras
import ml_collections
import tensorflow as tf

from sam_pod import errors
from sam_pod.config import rules
from sam_pod.data.input import dataset
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.run import build, checkpoint_folder, digests, result_file
from sam_pod.run import checkpoints as checkpoints_lib
from sam_pod.run import workdir as workdir_lib
from sam_pod.step import averaging
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read from the workdir."""

    which: str  # 'latest' or 'best'.
    name: str
    step: int
    values: state_lib.Values  # As arrays.


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained run: its config, data, recipe and a checkpoint."""

    config: ml_collections.ConfigDict
    # With the model's file where it can be read, and what the run decided.
    located: ml_collections.ConfigDict
    data: manifest_lib.Manifest
    recipe: Recipe  # For one replica.
    decisions: dict[str, Any]  # The run's, by config key.
    checkpoint: Checkpoint

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that the model sees."""
        return dataset.image_shape(self.located, self.data)

    def recipe_on(self, num_replicas: int) -> Recipe:
        """Return the run's recipe for this number of replicas.

        Raises:
            UserError: the run's config does not fit this number.
        """
        _name_layers_from_the_start()
        recipe = build.recipe(
            self.located, self.data, num_replicas, decisions=self.decisions
        )
        return dataclasses.replace(recipe, average=averaging.NONE)


def read(workdir: str, which: str, data_dir: str = "") -> Trained:
    """Return the run in a folder, which is left as it is.

    Where a run averages its weights, the averages are its weights, and what goes on
    from them averages no more.

    Args:
        workdir: The run's folder, local or in a bucket.
        which: The checkpoint: 'latest' or 'best', which has weights and statistics
            only; the other values are then those before the first step.
        data_dir: The folder of the prepared data, '' for that of the config.

    Raises:
        UserError: there is no run, no such checkpoint, no data set, or not the run's.
    """
    config = workdir_lib.read_config(workdir)
    rules.validate(config)
    if data_dir:
        config.data.dir = data_dir
    directory = os.path.join(workdir, workdir_lib.CHECKPOINTS)
    if not checkpoint_folder.paths_of(directory, which):
        if which == "best" and config.data.validation == "none":
            raise errors.UserError(
                f"{workdir} has no best checkpoint and never will, for its "
                "`data.validation` is 'none': take --which=latest."
            )
        raise errors.UserError(
            f"{workdir} has no {which} checkpoint yet: train until one is saved (the "
            "latest on a signal or by `checkpoint.every_seconds`, the best after an "
            "epoch)."
        )
    data = dataset.read_manifest(config)
    located = workdir_lib.locate(workdir, config, own_first=True)
    inputs = digests.of_inputs(located, data.digest())
    workdir_lib.check_inputs(workdir, config, inputs, trains=False)
    decisions = workdir_lib.read_decisions(workdir) or {}
    located = dataset.as_decided(located, decisions)
    _name_layers_from_the_start()
    recipe = build.recipe_alone(located, data, decisions=decisions)
    values = _restore(directory, which, recipe)
    recipe = dataclasses.replace(recipe, average=averaging.NONE)
    return Trained(config, located, data, recipe, decisions, values)


def in_words(workdir: str, trained: Trained) -> str:
    """Return which checkpoint it is, with its test figures where the result has them.

    Args:
        workdir: The run's folder.
        trained: As returned by `read`.
    """
    checkpoint = trained.checkpoint
    result = result_file.read(workdir) or {}
    line = f"The {checkpoint.which} checkpoint is {checkpoint.name}"
    scores = _scores(checkpoint, result)
    if not scores:
        return f"{line}; {workdir_lib.RESULT} has no test of it."
    found = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
    is_of_best = trained.config.early_stopping.restore_best_weights
    is_one = result["best_epoch"] == result["epochs"]
    if is_one or is_of_best == (checkpoint.which == "best"):
        return f"{line}: test {found}."
    other = "best" if is_of_best else "latest"
    return (
        f"{line}: test {found}. `test_accuracy` in {workdir_lib.RESULT}, "
        f"{result['test_accuracy']:.4f}, is of --which={other}."
    )


def _scores(checkpoint: Checkpoint, result: Mapping[str, Any]) -> Mapping[str, float]:
    """Return what a result has of a checkpoint; {} where it is of another one."""
    if "test_with" not in result:
        return {}
    weights = "best" if checkpoint.which == "best" else "last"
    is_one = checkpoint.step == result_file.steps_of(result).get(weights)
    return result["test_with"].get(weights, {}) if is_one else {}


def _name_layers_from_the_start() -> None:
    """Let Keras give the layers of a model the names that the run gave them."""
    keras.utils.clear_session()


def _restore(directory: str, which: str, recipe: Recipe) -> Checkpoint:
    strategy = tf.distribute.get_strategy()
    state = state_lib.create(
        strategy, recipe.network, recipe.optimizer, recipe.variant, recipe.average
    )
    checkpoints = checkpoints_lib.Checkpoints(directory, state, enabled=False)
    if which == "best":
        checkpoints.restore_best()
        name = os.path.basename(checkpoint_folder.paths_of(directory, which)[-1])
    else:
        checkpoints.restore_latest()
        epochs = int(state.read_progress().validated_epochs)
        name = checkpoint_folder.name(int(state.step.numpy()), epochs)
    values = tf.nest.map_structure(lambda tensor: tensor.numpy(), state.read())
    weights, stats = values.evaluated()
    values = values._replace(weights=weights, stats=stats, average={})
    return Checkpoint(which, name, int(name.split("-")[1]), values)
