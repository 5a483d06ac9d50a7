"""What is measured: a finished run's loss on examples of it, under its own strategy."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

import keras
import ml_collections
import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.data.input import pipeline
from sam_pod.machines import eager
from sam_pod.machines.runtime import Runtime
from sam_pod.run import checkpoint_folder, continuing, loading
from sam_pod.run import workdir as workdir_lib
from sam_pod.step.recipe import Recipe

MOMENTS = ("last", "best", "every")


@dataclasses.dataclass(frozen=True)
class Point:
    """A checkpoint of the run."""

    name: str  # 'last', 'best', or that of the file.
    path: str

    @property
    def file(self) -> str:
        """The name that it has in its folder."""
        return os.path.basename(self.path)

    @property
    def step(self) -> int:
        """The updates made before it."""
        return int(self.file.split("-")[1])


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run whose values are those of one of its checkpoints."""

    workdir: str
    config: ml_collections.ConfigDict
    runtime: Runtime
    recipe: Recipe
    split: pipeline.Split  # The examples that are measured.
    weights: list[tf.Variable]  # On all replicas.
    stats: list[tf.Variable]
    # Called before each compiled call, on all workers; what it raises ends the measure.
    ask: Callable[[], None] = lambda: None

    @property
    def num_replicas(self) -> int:
        """The replicas that share the work."""
        return self.runtime.strategy.num_replicas_in_sync

    def restore(self, point: Point) -> None:
        """Give all replicas of all workers the values of the chief's checkpoint.

        Raises:
            UserError: it cannot be read.
        """
        variables = [*self.weights, *self.stats]
        arrays = [np.zeros(v.shape, v.dtype.as_numpy_dtype) for v in variables]
        if self.runtime.workers.is_chief:
            arrays = self._read(point)
        arrays = self.runtime.workers.chiefs_arrays(arrays)
        eager.assign(variables, arrays)

    def _read(self, point: Point) -> list[np.ndarray]:
        with self.runtime.host_scope():
            weights, stats = (
                [tf.Variable(tf.zeros(v.shape, v.dtype)) for v in part]
                for part in (self.weights, self.stats)
            )
            whole = tf.train.Checkpoint(weights=weights, stats=stats)
            options = tf.train.CheckpointOptions(
                experimental_io_device=self.runtime.host_device
            )
            try:
                with checkpoint_folder.local(point.path) as copy:
                    status = whole.read(copy, options)
                    status.assert_existing_objects_matched().expect_partial()
            except errors.UserError:
                raise
            except Exception as error:  # Damaged files raise many types.
                raise errors.UserError(
                    f"Checkpoint {point.path} cannot be read "
                    f"({errors.reason(error)}): give another --at."
                ) from error
            return [variable.numpy() for variable in (*weights, *stats)]


def tensors(variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
    """Return the values of variables, inside `strategy.run` those of this replica."""
    return [tf.convert_to_tensor(variable) for variable in variables]


def read_config(workdir: str, data_dir: str = "") -> ml_collections.ConfigDict:
    """Return the config of a finished run, in float32.

    Raises:
        UserError: there is none.
    """
    config = workdir_lib.read_config(workdir)
    if continuing.finished(workdir, config) is None:
        raise errors.UserError(
            f"--workdir={workdir} holds a run that is not finished: the command that "
            "began it continues it; measure it then."
        )
    if data_dir:
        config.data.dir = data_dir
    config.dtype = "float32"
    if config.runtime.strategy == "pjrt":  # TensorFlow measures what JAX has trained.
        config.runtime.strategy = "auto"
    return config


def points(workdir: str, moments: list[str]) -> list[Point]:
    """Return the checkpoints that --at names, in its order.

    Raises:
        UserError: an unknown word, or a checkpoint that is not there.
    """
    directory = os.path.join(workdir, workdir_lib.CHECKPOINTS)
    for moment in moments:
        errors.lookup(dict.fromkeys(MOMENTS), moment, "--at")
    return [p for m in dict.fromkeys(moments) for p in _points(directory, m)]


def _points(directory: str, moment: str) -> Iterator[Point]:
    paths = checkpoint_folder.paths_of(directory, moment)
    if not paths:
        raise errors.UserError(
            f"--at={moment}: {directory} has no such checkpoint; it has "
            f"{sorted(_names(directory))}."
        )
    if moment != "every":
        yield Point(moment, paths[-1])
        return
    for path in paths:
        yield Point(os.path.basename(path), path)


def _names(directory: str) -> Iterator[str]:
    if checkpoint_folder.paths(directory):
        yield "last"
    if checkpoint_folder.best_paths(directory):
        yield "best"


def open_run(
    workdir: str, config: ml_collections.ConfigDict, runtime: Runtime, examples: int
) -> Subject:
    """Return the run in a folder, which is left as it is.

    Args:
        workdir: The run's folder, which every worker can read.
        config: As returned by `read_config`.
        runtime: What the measurement runs on.
        examples: The training examples that are measured; 0 for `DEFAULT_EXAMPLES`,
            or all where there are fewer.

    Raises:
        UserError: the data are not there, or not the run's, or not so many.
    """
    located = workdir_lib.locate(workdir, config, own_first=True)
    keras.utils.clear_session()  # Layers have the names that the run gave them.
    decisions = workdir_lib.read_decisions(workdir) or {}
    loaded = loading.load(located, decisions, runtime)
    workdir_lib.check_inputs(workdir, config, loaded.inputs, trains=False)
    split = part(loaded.splits["train"], examples)
    network = loaded.recipe.network
    with runtime.strategy.scope(), eager.settled():
        weights, stats = (
            [tf.Variable(value, name=name) for name, value in values.items()]
            for values in (network.initial_weights(), network.initial_stats())
        )
    return Subject(workdir, config, runtime, loaded.recipe, split, weights, stats)


DEFAULT_EXAMPLES = 10_240


def part(split: pipeline.Split, examples: int) -> pipeline.Split:
    """Return the first examples of a split, whose order is a fixed shuffle.

    Args:
        split: The split.
        examples: How many; 0 for `DEFAULT_EXAMPLES`, or all where there are fewer.

    Raises:
        UserError: there are not so many.
    """
    there = split.num_examples
    if examples > there:
        raise errors.UserError(
            f"--examples is {examples}; the run trains on {there}: give at most that."
        )
    if not examples:
        examples = min(DEFAULT_EXAMPLES, there)
        logging.info("Measuring on %d of the %d training examples.", examples, there)
    return dataclasses.replace(split, num_examples=examples)
