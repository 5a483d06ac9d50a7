"""The state of a training run, and its checkpoints.

All of it is plain `tf.Variable`s of ours, made under the strategy's scope: a step reads
them as tensors once and assigns them once.
"""

import dataclasses
import glob
import os
import re
import shutil
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from sam_pod import errors, files, optimizers, progress, runtime
from sam_pod.models import network as network_lib


class Values(NamedTuple):
    """What one step reads and writes, as tensors."""

    step: tf.Tensor  # int64 scalar: updates made so far.
    weights: list[tf.Tensor]
    stats: list[tf.Tensor]
    slots: optimizers.Slots
    learning_rate_scale: tf.Tensor  # float32 scalar; only validation changes it.


@dataclasses.dataclass(frozen=True)
class TrainState:
    """The variables of a run; the handles are fixed, their values are not."""

    step: tf.Variable
    weights: list[tf.Variable]
    stats: list[tf.Variable]
    slots: dict[str, list[tf.Variable]]
    progress: dict[str, tf.Variable]  # By the names of progress.Progress.

    def read(self) -> Values:
        """Return the values, inside `strategy.run` those of this replica."""
        return Values(
            step=tf.convert_to_tensor(self.step),
            weights=_tensors(self.weights),
            stats=_tensors(self.stats),
            slots={name: _tensors(slot) for name, slot in self.slots.items()},
            learning_rate_scale=tf.convert_to_tensor(
                self.progress["learning_rate_scale"]
            ),
        )

    def write(self, values: Values) -> None:
        """Assign what a step computed; each replica assigns its own copy."""
        self.step.assign(values.step)
        _assign(self.weights, values.weights)
        _assign(self.stats, values.stats)
        for name, slot in self.slots.items():
            _assign(slot, values.slots[name])

    def read_progress(self) -> progress.Progress:
        """Return what validation has shown so far."""
        return progress.Progress(
            **{name: float(v.numpy()) for name, v in self.progress.items()}
        )

    def write_progress(self, new: progress.Progress) -> None:
        """Assign the record of validation, on all replicas."""
        for name, variable in self.progress.items():
            variable.assign(getattr(new, name))


def create(
    strategy: tf.distribute.Strategy,
    network: network_lib.Network,
    optimizer: optimizers.Optimizer,
) -> TrainState:
    """Return the state before the first step, on all replicas of `strategy`."""
    weights, stats = network.initial_weights(), network.initial_stats()
    with strategy.scope():
        return TrainState(
            step=tf.Variable(0, dtype=tf.int64, name="step"),
            weights=[tf.Variable(value, name=name) for name, value in weights.items()],
            stats=[tf.Variable(value, name=name) for name, value in stats.items()],
            slots={
                slot: [
                    tf.Variable(tf.zeros_like(value), name=f"{slot}/{name}")
                    for name, value in weights.items()
                ]
                for slot in optimizer.slot_names
            },
            progress={
                field.name: tf.Variable(field.default, dtype=tf.float32)
                for field in dataclasses.fields(progress.Progress)
            },
        )


class Checkpoints:
    """Save and restore a state in `<workdir>/checkpoints`; the last two, and the best.

    A checkpoint is `ckpt-<step>-<validated epochs>`, which names each state of a run
    once. A save is atomic: TensorFlow writes an index in place, so everything is
    written to a folder aside and renamed, the index last; without it nothing is read.
    `best` holds weights and statistics alone.
    """

    def __init__(self, directory: str, state: TrainState) -> None:
        self._state = state
        self._checkpoint = tf.train.Checkpoint(
            step=state.step,
            weights=state.weights,
            stats=state.stats,
            slots=state.slots,
            progress=state.progress,
        )
        self._best = tf.train.Checkpoint(weights=state.weights, stats=state.stats)
        self._directory = directory
        self._best_directory = os.path.join(directory, "best")
        self._options = tf.train.CheckpointOptions(
            experimental_io_device=runtime.HOST_DEVICE
        )

    def save(self) -> None:
        """Save the state, then delete all but the last two.

        Raises:
            UserError: the disk is full or not writable; what was saved before stays.
        """
        self._write(self._checkpoint, self._directory, keep=2)

    def save_best(self) -> None:
        """Save weights and statistics as the best so far.

        Raises:
            UserError: as `save` does.
        """
        self._write(self._best, self._best_directory, keep=1)

    def restore_latest(self) -> bool:
        """Restore the newest checkpoint that can be read; False when there is none.

        Raises:
            UserError: there are checkpoints and none of them can be read.
        """
        paths = _list(self._directory)
        unreadable = []
        for path in reversed(paths):
            try:
                self._checkpoint.read(path, self._options).assert_consumed()
            except Exception as error:  # Damaged files raise many types.
                logging.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    " ".join(str(error).split())[:200],
                )
                unreadable.append(path)
            else:
                with errors.storage(self._directory):
                    for name in unreadable:  # Its steps are done, and saved, again.
                        os.rename(f"{name}.index", f"{name}.unreadable")
                return True
        if paths:
            raise errors.UserError(
                f"None of the {len(paths)} checkpoints in {self._directory} can be "
                "read; delete the folder to start over, or give another --workdir."
            )
        return False

    def restore_best(self) -> None:
        """Put the best weights and statistics into the state.

        Raises:
            UserError: they cannot be read.
        """
        paths = _list(self._best_directory)
        try:
            self._best.read(paths[-1], self._options).assert_consumed()
        except Exception as error:
            raise errors.UserError(
                f"The best checkpoint in {self._best_directory} cannot be read; delete "
                f"{os.path.dirname(self._directory)} to start over."
            ) from error

    def _write(
        self, checkpoint: tf.train.Checkpoint, directory: str, keep: int
    ) -> None:
        step = int(self._state.step.numpy())
        epochs = int(self._state.progress["validated_epochs"].numpy())
        name = f"ckpt-{step}-{epochs}"
        if os.path.join(directory, name) in _list(directory):
            return
        with errors.storage(directory):
            aside = os.path.join(directory, "partial")
            shutil.rmtree(aside, ignore_errors=True)  # Of a save that was killed.
            os.makedirs(aside)
            checkpoint.write(os.path.join(aside, name), self._options)
            for file in sorted(os.listdir(aside)):  # The data, then the index.
                files.sync(os.path.join(aside, file))
                os.rename(os.path.join(aside, file), os.path.join(directory, file))
            os.rmdir(aside)
            files.sync(directory)
            _remove_all_but(directory, _list(directory)[-keep:])


def _list(directory: str) -> list[str]:
    """Return the paths of the checkpoints in a folder, oldest first."""
    found = {}
    for file in glob.glob(os.path.join(glob.escape(directory), "ckpt-*.index")):
        if match := re.fullmatch(r"(.*/ckpt-(\d+)-(\d+))\.index", file):
            found[int(match[3]), int(match[2])] = match[1]
    return [found[key] for key in sorted(found)]


def _remove_all_but(directory: str, kept: list[str]) -> None:
    files = glob.glob(os.path.join(glob.escape(directory), "ckpt-*.*"))
    # The indices first: without one nobody takes the rest for a checkpoint.
    for file in sorted(files, key=lambda name: not name.endswith(".index")):
        if not file.startswith(tuple(f"{path}." for path in kept)):
            os.remove(file)


def _tensors(variables: list[tf.Variable]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(variable) for variable in variables]


def _assign(variables: list[tf.Variable], values: list[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
