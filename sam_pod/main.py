"""Train with SAM: python -m sam_pod.main --config=FILE[:VARIANT] [--config.key=value].

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, run the same
command again and it continues; 70 a bug, with its traceback.
"""

import logging as python_logging
import os
import shlex
import shutil
import sys
import threading
import time
from typing import Any, NoReturn

from absl import flags, logging
from ml_collections import config_flags

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.config import recipes, rules
from sam_pod.machines import cluster, lost
from sam_pod.process import command, exhaustion, notices, path_flags, signals, watchdog
from sam_pod.run import continuing
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import retries


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    stop = signals.watch()

    def train() -> None:
        values, recipe = parse(argv)
        workdir = values.workdir or workdir_lib.make_new(new_name(recipe))
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

    return command.run(train)


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


def parse(argv: list[str], *, here: bool = True) -> tuple[flags.FlagValues, str]:
    """Return the flags, among them the resolved `config`, and the recipe's name.

    Args:
        argv: The command line.
        here: Whether the run is on this machine, whose home folder `~` then is.

    Raises:
        UserError: a flag or a key that is unknown, or has a wrong value.
        SystemExit: after showing the help that was asked for.
    """
    recipe, rest = _split_recipe(argv)
    values = flags.FlagValues()
    define = path_flags.define if here else flags.DEFINE_string
    define("workdir", "", "Folder of the run; continues what is there.", values)
    flags.DEFINE_list(
        "accept_change",
        [],
        "What may be other than in the run that is continued: replicas (another m of "
        "SAM, another batch of BatchNorm), num_epochs, early_stopping.patience.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "tpu", "", "A TPU: local, its name, or grpc://HOST:8470,...", values
    )
    flags.DEFINE_string("zone", "", "Of the TPU that --tpu names.", values)
    flags.DEFINE_string("project", "", "Of the TPU that --tpu names.", values)
    if command.wants_help(rest):
        _show_help(values)
    if not recipe:
        raise errors.UserError(
            "No recipe; give --config=FILE[:VARIANT], such as "
            "--config=configs/resnet20.py:digits."
        )
    config = recipes.load(recipe)
    for argument in rest[1:]:
        name = argument.lstrip("-").removeprefix("no").partition("=")[0]
        if argument.startswith("-") and name.startswith("config."):
            config_lib.check_key(name.removeprefix("config."))
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=rest)
    command.parse(values, rest, __doc__)
    continuing.parse(values.accept_change)
    if here:
        config_lib.expand_home(values.config)
    rules.validate(values.config)
    return values, recipe


def _split_recipe(argv: list[str]) -> tuple[str, list[str]]:
    """Return the value of --config, and the arguments without it."""
    recipe, rest = "", []
    arguments = iter(argv)
    for argument in arguments:
        if argument in ("--config", "-config"):
            recipe = next(arguments, "")
        elif argument.startswith(("--config=", "-config=")):
            recipe = argument.partition("=")[2]
        else:
            rest.append(argument)
    return recipe, rest


def _show_help(values: flags.FlagValues) -> None:
    keys = "\n".join(
        f"  --config.{key}={value!r}"
        for key, value in config_lib.flatten(config_lib.defaults()).items()
    )
    print(
        f"{__doc__}\n  --config: FILE[:VARIANT], such as configs/resnet20.py:digits"
        f"{values.get_help()}\n\nConfig keys and their defaults, before the recipe:\n"
        f"{keys}"
    )
    raise SystemExit(0)


def new_name(recipe: str) -> str:
    """Return the name of a folder under runs/, after the recipe and the time."""
    path, _, variant = recipe.partition(":")
    name = os.path.splitext(os.path.basename(path))[0]
    moment = time.strftime("%Y%m%d-%H%M%S")
    return os.path.join("runs", "-".join(filter(None, (name, variant, moment))))


def _train(values: flags.FlagValues, workdir: str, stop: threading.Event) -> None:
    # TensorFlow is imported here, not above: a bad flag is refused in a moment, and
    # the threads it starts inherit the signal mask.
    command.set_environment()
    command.log_to_stdout()
    logging.info("Workdir: %s", workdir)
    retries.limit_to(values.config.storage.retry_seconds)
    config, accepted = values.config, continuing.parse(values.accept_change)
    workdir_lib.check(workdir, config, accepted)
    continuing.check_epochs(workdir, config)
    # Of several workers, only the chief's folder tells; all ask it once connected.
    is_alone = len(cluster.read().addresses) == 1
    finished = continuing.finished(workdir, config) if is_alone else None
    if finished is None:
        finished = _connect_and_run(values, workdir, stop)
    else:
        way_on = continuing.way_on(finished, config)
        logging.info("This run is finished already. %s", way_on)
    logging.info(
        "test/accuracy %.4f  test/loss %.4f",
        finished["test_accuracy"],
        finished["test_loss"],
    )
    logging.info("Workdir: %s", workdir)
    logging.info("Look at it: %s --logdir %s", _tensorboard(), shlex.quote(workdir))


def _connect_and_run(
    values: flags.FlagValues, workdir: str, stop: threading.Event
) -> dict[str, Any]:
    from sam_pod import train
    from sam_pod.machines import runtime, tpu
    from sam_pod.run import surroundings

    config = values.config
    address = None
    if values.tpu:
        address = tpu.Address(values.tpu, values.zone, values.project)
    with watchdog.limit(
        config.watchdog.connect_seconds, "Connecting", "watchdog.connect_seconds"
    ):
        connected = runtime.connect(
            config.runtime.strategy,
            tpu_address=address,
            cpu_replicas=config.runtime.cpu_replicas,
            deterministic=config.runtime.deterministic,
            connect_seconds=config.watchdog.connect_seconds,
        )
    if notices.are_expected():
        notices.watch(stop)
    surroundings.tell()
    replicas = connected.strategy.num_replicas_in_sync
    accepted = continuing.parse(values.accept_change)
    with exhaustion.explained(config, replicas):
        return train.run(config, workdir, connected, stop, accepted)


def _tensorboard() -> str:
    """Return the shortest command that starts TensorBoard from here."""
    program = os.path.join(os.path.dirname(sys.executable), "tensorboard")
    if shutil.which("tensorboard") == program:
        return "tensorboard"
    return shlex.quote(min(program, os.path.relpath(program), key=len))


if __name__ == "__main__":
    command.leave(main(sys.argv))
