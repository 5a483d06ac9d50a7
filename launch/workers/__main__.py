"""Train on several processes of this machine: worker 0 is the chief.

python -m launch.workers --num_workers=2 -- --config=configs/resnet20.py:digits

What follows `--` goes to `python -m sam_pod.main` in each worker, with
--config.runtime.strategy=multiworker unless it or the recipe chooses another, and with
one --workdir for all. A line [1] ... is worker 1's. With --runtime=pjrt JAX executes
the steps, on `runtime.cpu_replicas` devices of each worker, by the Python of .venv-pjrt
where bash launch/local.sh --runtime=pjrt has made it.

When a worker ends with 42 (interrupted, a peer lost) or dies of a signal, the others
may take --grace_seconds to end; then all start again from the last checkpoint, after
1, 2, 4 ... 60 seconds. The count of restarts goes back to 0 after a run of 15 minutes,
or of 3 times `checkpoint.every_seconds` if that is longer. Ctrl-C or SIGTERM saves and
stops all workers; a second one, a second later, kills them.

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, or restarted
too often: run the same command again, with the --workdir it names, and it continues;
anything else is a bug, with its traceback.
"""

import os
import sys
from collections.abc import Sequence

import ml_collections
from absl import flags

from launch import checkout
from launch.workers import restarts, stopping
from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.config import keys as config_lib
from sam_pod.process import command, seconds_flags
from sam_pod.run import workdir as workdir_lib

_JAX = "pjrt"  # `runtime.strategy`, and the name of its environment.


def trainer_command(
    arguments: Sequence[str], runtime: str = "multiworker"
) -> tuple[list[str], ml_collections.ConfigDict]:
    """Return the command of a worker, with what all must share, and its config.

    Args:
        arguments: The trainer's arguments.
        runtime: The strategy where they and the recipe choose none.

    Raises:
        UserError: the trainer would refuse the arguments.
        SystemExit: after showing the trainer's help.
    """
    # Parsing here prints a mistake once, not once for every worker.
    values, recipe = command_line.parse(["sam_pod.main", *arguments])
    named = any(a.lstrip("-").startswith("config.runtime.strategy") for a in arguments)
    given = values.config.runtime.strategy
    is_open = not named and given == config_lib.defaults().runtime.strategy
    if runtime == _JAX and not is_open and given != _JAX:
        raise errors.UserError(
            f"--runtime={_JAX} and `runtime.strategy` {given!r} exclude each other: "
            "leave out one of them."
        )
    strategy = runtime if is_open else given
    words = [_python(strategy), "-m", "sam_pod.main", *arguments]
    if not values.workdir:
        made = workdir_lib.make_new(command_line.new_name(recipe))
        words.append(f"--workdir={made}")
    if is_open:
        words.append(f"--config.runtime.strategy={strategy}")
    return words, values.config


def _python(strategy: str) -> str:
    """Return the Python that has what the strategy needs, or this one."""
    made = os.path.join(checkout.ROOT, ".venv-pjrt")
    if strategy == _JAX and os.path.exists(os.path.join(made, "installed")):
        return os.path.join(made, "bin", "python")
    return sys.executable


def _flags() -> flags.FlagValues:
    values, rule = flags.FlagValues(), restarts.Rule()
    flags.DEFINE_integer(
        "num_workers", None, "Processes to start.", 1, flag_values=values
    )
    flags.DEFINE_enum(
        "runtime",
        "multiworker",
        ["multiworker", _JAX],
        "What executes the steps: TensorFlow or JAX.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "ports", [], "A port for each worker; by default free ones.", flag_values=values
    )
    flags.DEFINE_integer(
        "max_restarts", rule.max_restarts, "In a row.", 0, flag_values=values
    )
    text = "For the others to end once a worker has failed, and again after SIGTERM."
    seconds_flags.define("grace_seconds", rule.grace_seconds, text, values)
    return values


def _ports(texts: Sequence[str], num_workers: int) -> list[int]:
    if not texts:
        return []
    valid = all(text.isdecimal() and 0 < int(text) < 2**16 for text in texts)
    ports = {int(text) for text in texts} if valid else ()
    if len(ports) != num_workers or len(texts) != num_workers:
        raise errors.UserError(
            f"--ports={','.join(texts)} must be {num_workers} different numbers from 1 "
            "to 65535, one for each worker."
        )
    return [int(text) for text in texts]


def _run(argv: Sequence[str], requests: stopping.Requests) -> int:
    values = _flags()
    ours, rest = command.split_at_mark(argv)
    if rest is None and not command.wants_help(ours):
        raise errors.UserError(
            "No `--`; the trainer's arguments follow it: python -m launch.workers "
            "--num_workers=2 -- --config=configs/resnet20.py:digits"
        )
    command.parse(values, ours, __doc__)
    command.require(values, "num_workers")
    ports = _ports(values.ports, values.num_workers)
    words, config = trainer_command(rest, values.runtime)
    rule = restarts.Rule(
        values.max_restarts,
        values.grace_seconds,
        max(restarts.Rule.stable_seconds, 3 * config.checkpoint.every_seconds),
    )
    return restarts.run_workers(words, values.num_workers, requests, rule, ports)


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    requests = stopping.Requests()
    return command.run(lambda: _run(argv, requests))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
