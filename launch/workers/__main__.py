"""Train on several processes of this machine: worker 0 is the chief.

python -m launch.workers --num_workers=2 -- --config=configs/resnet20.py:digits

What follows `--` goes to `python -m sam_pod.main` in each worker, with
--config.runtime.strategy=multiworker unless it or the recipe chooses another, and with
one --workdir for all. A line [1] ... is worker 1's.

When a worker ends with 42 (interrupted, a peer lost) or dies of a signal, the others
may take --grace_seconds to end; then all start again from the last checkpoint, after
1, 2, 4 ... 60 seconds. The count of restarts goes back to 0 after a run of 15 minutes,
or of 3 times `checkpoint.every_seconds` if that is longer. Ctrl-C or SIGTERM saves and
stops all workers; a second one, a second later, kills them.

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, or restarted
too often: run the same command again, with the --workdir it names, and it continues;
anything else is a bug, with its traceback.
"""

import sys
from collections.abc import Sequence

import ml_collections
from absl import flags

from launch.workers import restarts, stopping
from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.config import keys as config_lib
from sam_pod.process import command
from sam_pod.run import workdir as workdir_lib


def trainer_command(
    arguments: Sequence[str],
) -> tuple[list[str], ml_collections.ConfigDict]:
    """Return the command of a worker, with what all must share, and its config.

    Raises:
        UserError: the trainer would refuse the arguments.
        SystemExit: after showing the trainer's help.
    """
    # Parsing here prints a mistake once, not once for every worker.
    values, recipe = command_line.parse(["sam_pod.main", *arguments])
    words = [sys.executable, "-m", "sam_pod.main", *arguments]
    if not values.workdir:
        made = workdir_lib.make_new(command_line.new_name(recipe))
        words.append(f"--workdir={made}")
    named = any(a.lstrip("-").startswith("config.runtime.strategy") for a in arguments)
    default = config_lib.defaults().runtime.strategy
    if not named and values.config.runtime.strategy == default:
        words.append("--config.runtime.strategy=multiworker")
    return words, values.config


def _flags() -> flags.FlagValues:
    values, rule = flags.FlagValues(), restarts.Rule()
    flags.DEFINE_integer(
        "num_workers", None, "Processes to start.", 1, flag_values=values
    )
    flags.DEFINE_list(
        "ports", [], "A port for each worker; by default free ones.", flag_values=values
    )
    flags.DEFINE_integer(
        "max_restarts", rule.max_restarts, "In a row.", 0, flag_values=values
    )
    flags.DEFINE_float(
        "grace_seconds",
        rule.grace_seconds,
        "For the others to end once a worker has failed, and again after SIGTERM.",
        0.0,
        flag_values=values,
    )
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
    words, config = trainer_command(rest)
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
