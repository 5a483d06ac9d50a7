"""The checkpoints of a run: copied at once, written by a thread, whole or not."""

import concurrent.futures
import os

import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.machines import eager, lost, runtime
from sam_pod.run import checkpoint_folder
from sam_pod.step import state as state_lib


class NotFinite(ValueError):
    """A weight or a statistic is NaN or infinite: no step could start from it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"variable {name} is not finite")
        self.name = name


class Checkpoints:
    """Save and restore a state in `<workdir>/checkpoints`: the last two, their best.

    A save copies the values and returns; a thread writes the copy, whole or not at all.
    It is waited for before the next copy, before anything is read, and at the end of
    the process. `best` holds weights and statistics alone.
    """

    def __init__(
        self,
        directory: str,
        state: state_lib.TrainState,
        *,
        host_device: str = runtime.HOST_DEVICE,
        enabled: bool = True,
    ) -> None:
        """Take a folder, which the first save makes.

        Args:
            directory: The folder of the checkpoints.
            state: The state to save and restore.
            host_device: This process's own CPU.
            enabled: Whether to save, or else to leave the folder as it is; with several
                workers only the chief saves.
        """
        self._state = state
        self._directory = directory
        self._best_directory = os.path.join(directory, checkpoint_folder.BEST)
        self._host_device = host_device
        self._options = tf.train.CheckpointOptions(experimental_io_device=host_device)
        self._copy = self._host_copy() if enabled else None
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoints")
        self._writing: concurrent.futures.Future | None = None
        self._older_best = 0  # How many whole saves have to look for such.

    def save(self) -> None:
        """Copy the state, to be saved; then all but the last two are deleted.

        Raises:
            NotFinite: before anything is written.
            UserError: the disk was full or not writable at the save before this one;
                what was saved before stays.
        """
        if self._copy:
            self._begin(_whole(self._copy), self._directory, keep=2)

    def save_best(self) -> None:
        """Copy weights and statistics, to be saved as the best so far.

        The state's progress must have the validation that says so, for the steps to
        weights that the newest checkpoint does not know of are done again, and may be
        others. The best before stay as long as a checkpoint knows of no better ones:
        the run may go on from it.

        Raises:
            NotFinite: as `save` does.
            UserError: as `save` does.
        """
        if self._copy:
            # Those of both checkpoints, and these.
            self._begin(_best(self._copy), self._best_directory, keep=3)
            self._older_best = 2

    def wait(self) -> None:
        """Return when all that was to be saved is on the disk.

        Raises:
            UserError: the disk is full or not writable; what was saved before stays.
        """
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def restore_latest(self) -> bool:
        """Restore the newest checkpoint that can be read; False when there is none.

        Best weights that it does not know of are deleted: the steps to them are done
        again, and may be others, such as those of a longer run.

        Raises:
            UserError: there are checkpoints and none of them can be read.
        """
        is_there = self._restore_newest()
        if self._copy:
            epochs = int(self._state.progress["validated_epochs"].numpy())
            checkpoint_folder.remove_later(self._best_directory, epochs)
        return is_there

    def _restore_newest(self) -> bool:
        self.wait()
        paths = checkpoint_folder.paths(self._directory)
        unreadable = []
        for path in reversed(paths):
            try:
                with checkpoint_folder.local(path) as copy, eager.settled():
                    checkpoint = self._readable(copy)
                    checkpoint.read(copy, self._options).assert_consumed()
            except errors.UserError:
                raise
            except Exception as error:  # Damaged files raise many types.
                if lost.is_lost_worker(error):
                    raise
                logging.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    " ".join(str(error).split())[:200],
                )
                unreadable.append(path)
            else:
                for unread in unreadable if self._copy else ():
                    # Its steps are done, and saved, again.
                    checkpoint_folder.set_aside(unread)
                return True
        if paths:
            raise errors.UserError(
                f"None of the {len(paths)} checkpoints in {self._directory} can be "
                "read; delete the folder to start over, or give another --workdir."
            )
        return False

    def _readable(self, path: str) -> tf.train.Checkpoint:
        """Return the state, without the member's memory where a checkpoint has none."""
        names = {name for name, _ in tf.train.list_variables(path)}
        if self._state.memory and not any(n.startswith("memory/") for n in names):
            logging.warning(
                "Checkpoint %s has nothing that `sam.variant` remembers: its next step "
                "begins to, with an ascent.",
                path,
            )
            return tf.train.Checkpoint(**{**vars(self._state), "memory": {}})
        return _whole(self._state)

    def has_best(self) -> bool:
        """Return whether there are best weights."""
        self.wait()
        return bool(checkpoint_folder.best_paths(self._directory))

    def restore_best(self) -> None:
        """Put the best weights and statistics into the state.

        Raises:
            UserError: they cannot be read.
        """
        self.wait()
        paths = checkpoint_folder.best_paths(self._directory)
        try:
            with checkpoint_folder.local(paths[-1]) as copy, eager.settled():
                _best(self._state).read(copy, self._options).assert_consumed()
        except errors.UserError:
            raise
        except Exception as error:
            if lost.is_lost_worker(error):
                raise
            raise errors.UserError(
                f"The best checkpoint in {self._best_directory} cannot be read; delete "
                f"{os.path.dirname(self._directory)} to start over."
            ) from error

    def _host_copy(self) -> state_lib.TrainState:
        def copy(variable: tf.Variable) -> tf.Variable:
            name = variable.name.partition(":")[0]
            return tf.Variable(tf.zeros(variable.shape, variable.dtype), name=name)

        with tf.device(self._host_device):
            return state_lib.TrainState(
                **tf.nest.map_structure(copy, vars(self._state))
            )

    def _begin(
        self, checkpoint: tf.train.Checkpoint, directory: str, keep: int
    ) -> None:
        self.wait()
        name = checkpoint_folder.name(
            int(self._state.step.numpy()),
            int(self._state.progress["validated_epochs"].numpy()),
        )
        if os.path.join(directory, name) in checkpoint_folder.paths(directory):
            return
        # They are copied from where they are, so in no scope.
        arrays = state_lib.to_arrays(self._state)
        with tf.device(self._host_device):
            state_lib.assign_arrays(self._copy, arrays)
        averages = tf.nest.flatten(self._copy.average)
        for variable in (*self._copy.weights, *self._copy.stats, *averages):
            if not np.isfinite(variable.numpy()).all():
                raise NotFinite(variable.name)
        self._writing = self._writer.submit(
            self._write, checkpoint, directory, name, keep
        )

    def _write(
        self, checkpoint: tf.train.Checkpoint, directory: str, name: str, keep: int
    ) -> None:
        def write(path: str) -> None:
            checkpoint.write(path, self._options)

        with tf.device(self._host_device):  # Each thread has a default of its own.
            checkpoint_folder.add(directory, name, write, keep=keep)
        if self._older_best and directory == self._directory:
            checkpoint_folder.keep_known(self._best_directory, directory)
            self._older_best -= 1


def _whole(state: state_lib.TrainState) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(**vars(state))


def _best(state: state_lib.TrainState) -> tf.train.Checkpoint:
    more = {"average": state.average} if state.average else {}
    return tf.train.Checkpoint(weights=state.weights, stats=state.stats, **more)
