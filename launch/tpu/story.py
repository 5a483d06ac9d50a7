"""The whole story of a run on slices that come and go: until exit 0 or 1."""

import dataclasses
import secrets
import time
from collections.abc import Callable

from launch.tpu import claims, everywhere, gcloud, phrases, provision, states, trainer
from launch.tpu.provision import say
from launch.tpu.starts import Start
from launch.workers import restarts
from sam_pod import errors
from sam_pod.process import signals

EXIT_INTERRUPTED = signals.EXIT_CODE
_AGAIN = (EXIT_INTERRUPTED, everywhere.ABORTED)


class Interrupted(BaseException):
    """SIGINT or SIGTERM came to the launcher."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained, on which slices, and how often it starts again."""

    request: phrases.SliceRequest | None  # None to use the slice that is there, if any.
    arguments: tuple[str, ...]  # The trainer's.
    rule: restarts.Rule
    by_jax: bool = False  # Whether JAX executes the steps.

    def start_on(self, hosts: provision.Hosts) -> Start:
        """Return how it is started on a slice with these hosts."""
        return Start(is_pod=len(hosts.addresses) > 1, by_jax=self.by_jax)


def train(the_slice: provision.Slice, run: Run) -> int:
    """Train until the trainer has ended for good; return the exit code.

    After exit code 42 or 134, or a death by a signal, the trainer starts again: on the
    same slice if that is still READY and the attempt was long, otherwise on a new one.

    Raises:
        UserError: the slice, or the trainer on it, is refused.
        GcloudError: gcloud failed too often.
    """
    failures, known = 0, False
    while True:
        try:
            outcome = _once(the_slice, run, known)
        except provision.SliceGone:
            say(
                f"Somebody deleted {the_slice.place.name}; it is not created again. "
                "The same command continues."
            )
            return EXIT_INTERRUPTED
        code = outcome.ending.code
        if code is not None and code >= 0 and code not in _AGAIN:
            return code
        long = outcome.seconds >= run.rule.stable_seconds
        failures = 1 if long else failures + 1
        if failures > run.rule.max_restarts:
            say(f"Gave up after {failures - 1} restarts; the same command continues.")
            return EXIT_INTERRUPTED
        if outcome.ending.slice_is_lost and not run.request:
            return EXIT_INTERRUPTED
        pause = run.rule.pause_seconds(failures)
        say(f"Restart {failures} of {run.rule.max_restarts} in {pause:g} s.")
        time.sleep(pause)
        again = failures > 1 and not long and not outcome.keep
        known = outcome.known
        if known and run.request and _is_bad(the_slice, outcome.ending, again=again):
            the_slice.tear_down()
            known = False


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """The outcome of one attempt."""

    ending: trainer.Ending
    known: bool  # Whether there was a slice.
    seconds: float = 0.0  # How long the trainer was followed.
    keep: bool = False  # Whether the same would fail on another slice.


def _once(the_slice: provision.Slice, run: Run, known: bool) -> _Outcome:
    """Bring the slice up, and train there once."""
    try:
        if run.request:
            hosts = the_slice.bring_up(run.request, known=known)
        else:
            hosts = the_slice.require_ready()
    except provision.CreationFailed as failure:
        say(f"No slice this time: {failure}")
        return _Outcome(trainer.Ending(None), known=False)
    begun = time.monotonic()
    try:
        ending = _attempt(the_slice, run, hosts)
    except _AttemptFailed as failure:
        say(f"The attempt failed: {failure}")
        return _Outcome(trainer.Ending(None), known=True, keep=failure.of_host)
    if ending.code is not None:
        how = "was killed by signal" if ending.code < 0 else "ended with exit code"
        say(f"The trainer {how} {abs(ending.code)}.")
    return _Outcome(ending, known=True, seconds=time.monotonic() - begun)


def only_bring_up(the_slice: provision.Slice, run: Run) -> int:
    """Bring the slice up and install the project there; return the exit code."""
    try:
        hosts = the_slice.bring_up(run.request)
    except (provision.CreationFailed, provision.SliceGone) as failure:
        reason = str(failure) or "somebody deleted it"
        say(f"No slice this time: {reason}. The same command tries again.")
        return EXIT_INTERRUPTED
    trainer.install(the_slice.place, hosts.runtime_version, run.start_on(hosts))
    say(f"Train with: {provision.launcher('run', the_slice.place)} -- --config=...")
    return 0


def account_for(
    the_slice: provision.Slice, job: Callable[[], int], *, down_when_done: bool
) -> int:
    """Do a job on a slice; at the end nothing is left, or a line says what is.

    Raises:
        UserError: the job, or deleting the slice, is refused.
    """
    try:
        try:
            with claims.claim(the_slice.place):
                code = _do(job)
        except Exception:
            # A slice that was there before may be somebody else's.
            if down_when_done and the_slice.made_here:
                the_slice.tear_down()
            raise
        if down_when_done and the_slice.ours:
            the_slice.tear_down()
        return code
    except Interrupted:
        say("Interrupted; work on the slice continues without the launcher.")
        return EXIT_INTERRUPTED
    finally:
        if the_slice.touched:
            place = the_slice.place
            say(f"{place.name} may be there, and cost money, until you delete it.")
            say(f"See what there is: {provision.launcher('status', place)}")
            say(f"Delete all of it:  {provision.launcher('down', place)}")


def _do(job: Callable[[], int]) -> int:
    try:
        return job()
    except gcloud.GcloudError as error:
        say(f"Gave up: {error}. The same command continues.")
        return EXIT_INTERRUPTED


class _AttemptFailed(Exception):
    """The slice is READY, and yet nothing could be started there."""

    def __init__(self, error: gcloud.GcloudError) -> None:
        super().__init__(str(error))
        self.of_host = error.of_host


def _attempt(
    the_slice: provision.Slice, run: Run, hosts: provision.Hosts
) -> trainer.Ending:
    """Join the trainer that runs on the slice, or start it; follow it to its end."""
    place = the_slice.place
    start = run.start_on(hosts)
    command = start.command(run.arguments, phrases.tpu_address(hosts.addresses))
    say(f"{place.name} is READY, with {len(hosts.addresses)} host(s).")
    try:
        found = everywhere.state(trainer.look(place, start.workers))
        if found["state"] == "running":
            if found["command"] != command:
                raise trainer.refuse_busy(place, found)
            say("The trainer runs there already; following it.")
        else:
            trainer.install(place, hosts.runtime_version, start)
            if found["state"] != "none":
                trainer.clean(place)
            trainer.start(place, command, secrets.token_hex(8), start.workers)
            say("The trainer is started; it goes on when this launcher ends.")
    except gcloud.GcloudError as error:
        if error.kind in gcloud.REFUSED:
            raise errors.UserError(f"{place.name}: {error}") from error
        raise _AttemptFailed(error) from error
    ending = trainer.follow(the_slice)
    try:
        return everywhere.settle(the_slice, start, ending)
    except gcloud.GcloudError as error:
        raise _AttemptFailed(error) from error


def _is_bad(the_slice: provision.Slice, ending: trainer.Ending, *, again: bool) -> bool:
    """Return whether a slice is lost, under maintenance, or failed twice in a row."""
    seen, _, _ = the_slice.look()
    if states.next_step(seen, was_ready=True) is states.Step.GONE:
        return False  # The next look for it ends the story.
    return ending.slice_is_lost or again or not seen.healthy
