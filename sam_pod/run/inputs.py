"""The prepared data of a run: made where that is possible, checked, seen by all."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator

import ml_collections
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.data.input import culprit, dataset, pipeline
from sam_pod.data.prepare import job
from sam_pod.data.stored import manifest as manifest_lib
from sam_pod.machines import lost
from sam_pod.machines.runtime import Runtime
from sam_pod.machines.workers import Workers
from sam_pod.process import signals
from sam_pod.storage import faults, files, turns


def prepare_missing(
    config: ml_collections.ConfigDict, workers: Workers, stop: threading.Event
) -> None:
    """Prepare data that are not there yet and need nothing from the user.

    Files that other tools wrote are scanned, where they have not been.

    Args:
        config: A validated config.
        workers: The workers, which prepare one after the other: they may share the
            folder, or not. Other runs that want the same data wait, and so does this
            one.
        stop: An event that ends the preparation.

    Raises:
        Interrupted: `stop` was set.
        UserError: as raised by `job.prepare`.
    """

    def raise_if_stopped() -> None:
        if stop.is_set():
            raise signals.Interrupted

    if dataset.is_foreign(config):
        dataset.read_manifest(config, raise_if_stopped)
        workers.barrier()
        return
    for turn in range(workers.count):
        if turn == workers.index and not files.is_remote(config.data.dir):
            caller = turns.Caller(raise_if_stopped, logging.info, takes_any=True)
            _prepare_in_turn(config, caller)
        workers.barrier()


def _prepare_in_turn(config: ml_collections.ConfigDict, caller: turns.Caller) -> None:
    """Prepare data where they are not there and nobody else prepares them."""
    name, directory = config.data.name, config.data.dir
    sources = {"cifar10": "download", "digits": ""}
    if not _is_empty(directory):
        return
    if name not in sources:
        turns.wait(directory, caller)
        return
    noise, kind = config.data.label_noise, config.data.label_noise_kind
    wish = ["prepare", f"--dataset={name}", f"--source={sources[name]}"]
    wish += [f"--label_noise={noise}", f"--label_noise_kind={kind}"] if noise else []
    with job.turn(job.parse([*wish, f"--output={directory}"]), caller) as is_ours:
        if is_ours and _is_empty(directory):
            logging.info("Preparing %s in %s.", name, directory)
            job.prepare(
                name,
                sources[name],
                directory,
                caller=caller,
                label_noise=noise,
                label_noise_kind=kind,
            )


def check_reach(data: dataset.DataSet, runtime: Runtime) -> None:
    """Refuse data that a machine which reads input does not see as this one does.

    Raises:
        UserError: naming the machine.
    """

    def look() -> bytes:
        if data.is_foreign:
            return data.first_record().numpy()
        path = os.path.join(data.directory, manifest_lib.FILE_NAME)
        return tf.io.read_file(path).numpy()

    with runtime.host_scope():
        expected = look() if runtime.input_devices else b""
    for device in runtime.input_devices:
        try:
            with tf.device(device):
                seen = look()
        except tf.errors.OpError as error:
            if lost.is_lost_worker(error):
                raise
            seen = b""
        if seen != expected:
            raise errors.UserError(
                f"`data.dir` {data.directory} is not the same folder on {device}: give "
                "one that every host of the slice reaches, such as gs://BUCKET/DATA."
            )


@contextlib.contextmanager
def explaining(directory: str) -> Iterator[None]:
    """Recognize remote data that cannot be read among the errors of a loop of steps.

    Raises:
        StorageLost: every attempt has failed.
        UserError: the data are gone, or a right to them.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # The name of the operation by which a loop takes a batch.
        if files.is_remote(directory) and "GetNext" in str(error):
            with faults.explained(directory, "read"):
                raise
        raise


@contextlib.contextmanager
def naming_faults(
    split: pipeline.Split, rows: Callable[[], Iterable[int]]
) -> Iterator[None]:
    """Name the file and the byte, when a loop of steps cannot read an example.

    Args:
        split: The split that the loop reads.
        rows: The numbers of the examples that the loop may have asked for; they are
            looked at one by one when it has failed.

    Raises:
        UserError: an example is damaged.
    """
    try:
        yield
    except culprit.OF_CONTENT as error:
        if "GetNext" not in str(error):
            raise
        reader = split.reader
        records = reader.records
        # What is held was read all at once.
        suspects = range(len(records)) if split.view.is_held else rows()
        found = culprit.first(records, reader.parse, suspects, split=reader.stored)
        if not found:
            raise
        raise errors.UserError(found) from error


def _is_empty(directory: str) -> bool:
    try:
        return not os.listdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise errors.UserError(
            f"`data.dir` {directory} cannot be read: {error.strerror}."
        ) from error
