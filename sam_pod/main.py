"""The command that trains: parse, connect, train and exit."""

import functools
import gc
import logging as python_logging
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import ml_collections
from absl import flags, logging
from ml_collections import config_flags

from sam_pod.config import command_line, unread
from sam_pod.machines import cluster, lost
from sam_pod.pjrt import choice, environment
from sam_pod.process import (
    command,
    exhaustion,
    heavy_imports,
    notices,
    signals,
    watchdog,
)
from sam_pod.run import continuing
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import retries

if TYPE_CHECKING:
    from sam_pod.machines.runtime import Runtime


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    stop = signals.watch()

    def train() -> None:
        values, recipe = command_line.parse(argv)
        workdir = values.workdir or workdir_lib.make_new(command_line.new_name(recipe))
        try:
            _train(values, workdir, stop)
        except signals.Interrupted:
            logging.info(
                "Saved. Continue with the same command and --workdir=%s",
                shlex.quote(workdir),
            )
            raise
        except Exception as error:
            if lost.is_lost_worker(error):
                _leave_lost(error, workdir)
            raise
        finally:
            if not values.workdir:
                workdir_lib.drop_empty(workdir)

    code = command.run(train)
    # Of several processes whose steps JAX executes one alone may have failed.
    if code not in (0, signals.EXIT_CODE) and "sam_pod.pjrt.hosts" in sys.modules:
        sys.modules["sam_pod.pjrt.hosts"].leave(code)
    return code


def _leave_lost(error: Exception, workdir: str) -> NoReturn:
    """Exit with 42 and save nothing: the variables were on a machine that is gone.

    Without Python's own exit, which would wait for what cannot answer.
    """
    logging.info(
        "A worker or its storage is lost (%s). Continue with the same command and "
        "--workdir=%s",
        lost.reason_of_loss(error),
        shlex.quote(workdir),
    )
    python_logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(signals.EXIT_CODE)


def _train(values: flags.FlagValues, workdir: str, stop: threading.Event) -> None:
    # TensorFlow and NumPy are imported here, not above: a bad flag is refused in a
    # moment, and the threads that they start inherit the signal mask.
    command.log_to_stdout()
    by_jax = choice.by_jax(values.config, values.tpu)
    command.set_environment(jax_computes=by_jax)
    logging.info("Workdir: %s", workdir)
    for line in unread.lines(
        values.config, [*config_flags.get_override_values(values["config"])]
    ):
        logging.warning("%s", line)
    retries.limit_to(values.config.storage.retry_seconds)
    config = values.config
    if by_jax:
        environment.check()
    accepted = command_line.accepted_changes(values.accept_change)
    workdir_lib.check(workdir, config, accepted)
    continuing.check_epochs(workdir, config)
    # With several workers only the chief's folder counts; all ask it once connected.
    is_alone = len(cluster.read().addresses) == 1
    if by_jax:
        is_alone = environment.is_alone(config)
    from sam_pod.run import finished as finished_lib

    finished = finished_lib.find(workdir, config) if is_alone else None
    if finished is None:
        connect = functools.partial(_connect, values, by_jax=by_jax)
        finished = _connect_and_run(values.config, workdir, connect, stop, accepted)
    logging.info(
        "test/accuracy %.4f  test/loss %.4f",
        finished["test_accuracy"],
        finished["test_loss"],
    )
    logging.info("Workdir: %s", workdir)
    logging.info("Look at it: %s --logdir %s", _tensorboard(), shlex.quote(workdir))


def _connect_and_run(
    config: ml_collections.ConfigDict,
    workdir: str,
    connect: Callable[[], "Runtime"],
    stop: threading.Event,
    accepted: frozenset[str],
) -> dict[str, Any]:
    # Imports and traces make millions of lasting objects, which each garbage collection
    # would examine again: a tenth of the time to the first step.
    gc.disable()
    heavy_imports.tensorflow()
    from sam_pod import train
    from sam_pod.run import surroundings

    with watchdog.limit(
        config.watchdog.connect_seconds, "Connecting", "watchdog.connect_seconds"
    ):
        connected = connect()
    if notices.are_expected():
        notices.watch(stop)
    surroundings.tell()
    replicas = connected.strategy.num_replicas_in_sync
    with exhaustion.explained(config, replicas):
        return train.run(config, workdir, connected, stop, accepted)


def _connect(values: flags.FlagValues, *, by_jax: bool) -> "Runtime":
    config = values.config
    if by_jax:
        from sam_pod.pjrt import connect  # Imports JAX.

        return connect.connect(config, values.tpu)
    from sam_pod.machines import runtime, tpu

    address = None
    if values.tpu:
        address = tpu.Address(values.tpu, values.zone, values.project)
    return runtime.connect(
        config.runtime.strategy,
        tpu_address=address,
        cpu_replicas=config.runtime.cpu_replicas,
        deterministic=config.runtime.deterministic,
        connect_seconds=config.watchdog.connect_seconds,
    )


def _tensorboard() -> str:
    """Return the shortest command that starts TensorBoard from here."""
    program = os.path.join(os.path.dirname(sys.executable), "tensorboard")
    if shutil.which("tensorboard") == program:
        return "tensorboard"
    return shlex.quote(min(program, os.path.relpath(program), key=len))


if __name__ == "__main__":
    command.leave(main(sys.argv))
