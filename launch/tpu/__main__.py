"""Launch on a TPU slice, through gcloud: create it, train, and again when it is lost.

python -m launch.tpu up --name=pod --zone=us-central2-b --accelerator_type=v4-32 \\
  --spot --queued -- --config=configs/resnet20.py:sgd \\
  --config.data.dir=gs://BUCKET/cifar10 --workdir=gs://BUCKET/run

up      Create the slice or use the one that is there, and install the project on all
        its hosts. With trainer's arguments after `--`: first compile the run for the
        slice and check it (sam_pod.preflight; not with --nopreflight), then train
        until exit code 0 or 1; when the slice is lost, delete it, create another and
        continue.
status  Say what there is, what it means and whether it costs money.
run     Train on the slice that is there; another one is never created.
logs    Follow the trainer's log, from its beginning.
ssh     Log in to --worker; a command may follow `--`, as words: bash -c 'ls | wc'.
down    Delete everything of this name.

On v6e, and elsewhere with --config.runtime.strategy=pjrt, JAX executes the steps: the
trainer runs on every host, and the log is worker 0's. TPU7x is for launch.gke.

Ctrl-C ends the launcher alone: the slice stays, the trainer goes on, and the same
command continues where it was; a second one, a second later, ends it at once. --dry_run
prints the commands and runs none.

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, or given up:
the same command continues; anything else is a bug, with its traceback or its log.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence

from absl import flags

from launch import checks
from launch.tpu import (
    everywhere,
    gcloud,
    phrases,
    plan,
    provision,
    states,
    story,
    tpu_flags,
    trainer,
)
from launch.tpu.provision import say
from launch.tpu.starts import Start
from sam_pod import errors
from sam_pod.process import command, signals

_COMMANDS = ("up", "status", "run", "logs", "ssh", "down")


def _up(values: flags.FlagValues, rest: Sequence[str]) -> int:
    accelerator = tpu_flags.accelerator(values.accelerator_type)
    by_jax = checks.is_jax(rest, accelerator)
    request = tpu_flags.request(values, accelerator, by_jax=by_jax)
    arguments = checks.trainer_arguments(rest, accelerator) if rest else ()
    place, down_when_done = tpu_flags.place(values), values.down_when_done
    compiles = bool(rest) and values.preflight
    words = checks.compile_words(
        rest, accelerator, tpu_flags.data(values), by_jax=by_jax
    )
    if values.dry_run:
        print(
            plan.up(
                place,
                request,
                arguments,
                before=words if compiles else (),
                start=Start(is_pod=accelerator.is_pod, by_jax=by_jax),
                down_when_done=down_when_done,
            )
        )
        return 0
    if compiles and (code := checks.compile_run(words)):
        say("Nothing was asked for; --nopreflight continues without these checks.")
        return code
    the_slice = provision.Slice(place, values.poll_seconds)
    run = story.Run(request, arguments, tpu_flags.rule(values), by_jax)
    job = story.train if arguments else story.only_bring_up
    return story.account_for(
        the_slice, lambda: job(the_slice, run), down_when_done=down_when_done
    )


def _run(values: flags.FlagValues, rest: Sequence[str]) -> int:
    if not rest:
        raise errors.UserError("No trainer's arguments; they follow `--`.")
    place = tpu_flags.place(values)
    the_slice = provision.Slice(place, values.poll_seconds)
    name, version = values.accelerator_type, values.runtime_version
    if not values.dry_run:
        hosts = the_slice.require_ready()
        name, version = hosts.accelerator_type, hosts.runtime_version
    if not name:
        raise errors.UserError("--dry_run of `run` needs --accelerator_type.")
    accelerator = tpu_flags.accelerator(name)
    by_jax = checks.is_jax(rest, accelerator)
    arguments = checks.trainer_arguments(rest, accelerator)
    if values.dry_run:
        print(
            plan.run(
                place,
                version,
                arguments,
                start=Start(is_pod=accelerator.is_pod, by_jax=by_jax),
                down_when_done=values.down_when_done,
            )
        )
        return 0
    run = story.Run(None, arguments, tpu_flags.rule(values), by_jax)
    return story.account_for(
        the_slice,
        lambda: story.train(the_slice, run),
        down_when_done=values.down_when_done,
    )


def _status(values: flags.FlagValues) -> int:
    place = tpu_flags.place(values)
    if values.dry_run:
        queued, node = (
            phrases.describe_queued(place),
            phrases.describe_node(place),
        )
        line = phrases.ssh(place, "0", trainer.status_line())
        print(plan.lines(place, queued, node, line))
        return 0
    the_slice = provision.Slice(place, values.poll_seconds)
    seen, _, node = the_slice.look()
    say(f"{place.name}: {seen}. {states.explain(seen)}")
    if states.next_step(seen) is states.Step.USE:
        say(f"{len(node['networkEndpoints'])} host(s); {_trainer_state(place)}")
    return 0


def _trainer_state(place: phrases.Place) -> str:
    try:
        found = everywhere.state(trainer.look(place, "0"))
    except gcloud.GcloudError as error:
        return f"worker 0 could not be asked about the trainer: {error}"
    told = {
        "none": "no trainer was started there.",
        "running": "the trainer runs: `logs` follows it, `up` takes it up.",
        "vanished": "the trainer is gone without a word; `up` starts it again.",
    }
    ended = f"the trainer ended with exit code {found.get('code')}."
    return told.get(found["state"], ended)


def _logs(values: flags.FlagValues) -> int:
    place = tpu_flags.place(values)
    if values.dry_run:
        line = trainer.coordinator_line("follow", "--at=0")
        print(plan.lines(place, phrases.ssh(place, "0", line)))
        return 0
    the_slice = provision.Slice(place, values.poll_seconds)
    the_slice.require_ready()
    try:
        code = trainer.follow(the_slice).code
    except provision.SliceGone:
        say(f"Somebody deleted {place.name}.")
        return signals.EXIT_CODE
    if code is None or code < 0:
        say(f"No trainer runs on {place.name}.")
        return signals.EXIT_CODE
    return code


def _ssh(values: flags.FlagValues, rest: Sequence[str]) -> int:
    place = tpu_flags.place(values)
    words = phrases.ssh(place, values.worker, phrases.remote(rest) if rest else "")
    if values.dry_run:
        print(plan.lines(place, words))
        return 0
    os.execvp(words[0], words)


def _down(values: flags.FlagValues) -> int:
    place = tpu_flags.place(values)
    if values.dry_run:
        print(plan.down(place))
        return 0
    provision.Slice(place, values.poll_seconds).tear_down()
    return 0


def _parse(argv: Sequence[str]) -> tuple[str, flags.FlagValues, list[str]]:
    """Return the command, the flags, and what follows `--`.

    Raises:
        UserError: an unknown command or flag.
        SystemExit: after showing the help that was asked for.
    """
    ours, rest = command.split_at_mark(argv)
    values = tpu_flags.define()
    words = command.parse_with_words(values, ours, __doc__)
    if len(words) != 1 or words[0] not in _COMMANDS:
        guess = errors.nearest(words[0], _COMMANDS) if words else ""
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise errors.UserError(
            f"{' '.join(words) or 'Nothing'!r} is not a command; give one of "
            f"{', '.join(_COMMANDS)}, and the trainer's arguments after `--`.{hint}"
        )
    if rest and words[0] not in ("up", "run", "ssh"):
        raise errors.UserError(f"`{words[0]}` takes nothing after `--`.")
    return words[0], values, rest or []


def _launch(argv: Sequence[str]) -> int:
    word, values, rest = _parse(argv)
    if not values.dry_run:
        gcloud.check_installed()
    if word in ("up", "run", "ssh"):
        return {"up": _up, "run": _run, "ssh": _ssh}[word](values, rest)
    return {"status": _status, "logs": _logs, "down": _down}[word](values)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    asked_at = time.monotonic()

    def end_at_once(number: int, _: object) -> None:
        if signals.is_second(number, time.monotonic() - asked_at):
            os._exit(signals.EXIT_CODE)

    for received in signals.stops():
        signal.signal(received, end_at_once)
    raise story.Interrupted


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    for number in signals.stops():
        signal.signal(number, _interrupt)
    resumable = (gcloud.GcloudError, story.Interrupted)
    return command.run(lambda: _launch(argv), resumable)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
