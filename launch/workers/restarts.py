"""Run workers as one job: who waits for whom, what is stopped, what runs again."""

import dataclasses
import math
import signal
import time
from collections.abc import Mapping, Sequence

from launch.workers import output as output_lib
from launch.workers import processes, stopping
from sam_pod.process import signals

EXIT_USER_ERROR = 1
_LONGEST_PAUSE_SECONDS = 60.0
# JAX aborts a process that has lost another; a shell reports that by a number.
_LOST = (signals.EXIT_CODE, 128 + signal.SIGABRT)


@dataclasses.dataclass(frozen=True)
class Rule:
    """When workers are stopped, and how often they are started again."""

    max_restarts: int = 10
    grace_seconds: float = 60.0  # To end by themselves, and again after SIGTERM.
    # A run that lasted this long has made progress, so the count of restarts goes back
    # to zero. Choose more than the time to the first checkpoint: a run that always
    # fails at one step then resumes just before it, lasts less than this, and is given
    # up.
    stable_seconds: float = 900.0
    first_pause_seconds: float = 1.0

    def pause_seconds(self, restart: int) -> float:
        """Return how long to wait before the restart of this number, from 1."""
        doubled = self.first_pause_seconds * 2.0 ** min(restart - 1, 60)
        return min(doubled, _LONGEST_PAUSE_SECONDS)


def verdict(codes: Mapping[int, int]) -> int:
    """Return what the exit codes, by worker, mean for all of them.

    A worker that loses a peer ends with 42 or dies, so any other code says more: a
    user's error first, then a bug. 42 means that all can run again.
    """
    found = set(codes.values()) - {0}
    bugs = {c for c in found if c > 0} - {EXIT_USER_ERROR, *_LOST}
    if EXIT_USER_ERROR in found:
        return EXIT_USER_ERROR
    if bugs:
        return min(bugs)
    return signals.EXIT_CODE if found else 0


def run_workers(
    command: Sequence[str],
    num_workers: int,
    requests: stopping.Requests,
    rule: Rule | None = None,
    ports: Sequence[int] = (),
) -> int:
    """Run the command as so many workers, again as the rule says; return the exit code.

    Each worker finds its place in TF_CONFIG.

    Args:
        command: One worker's command, with its arguments.
        num_workers: The number of workers, at least 1.
        requests: Requests to stop: the workers get SIGTERM and do not start again.
        rule: The waits and restarts; by default `Rule()`.
        ports: A port for each worker; by default free ones, chosen at each start.

    Raises:
        UserError: a port is in use, or the command cannot be started.
    """
    rule = rule or Rule()
    restarts = 0
    while True:
        output = output_lib.Output()
        start = time.monotonic()
        chosen = processes.take_ports(num_workers, ports)
        workers = processes.Peers(command, chosen, output)
        code = _run_once(workers, requests, rule.grace_seconds, output)
        if code != signals.EXIT_CODE or requests.came:
            return code
        if time.monotonic() - start >= rule.stable_seconds:
            restarts = 0
        why = _first_failure(workers.codes)
        if restarts == rule.max_restarts:
            output.complain(
                f"{why}; gave up after {restarts} restarts in a row. The same command "
                "goes on from the last checkpoint."
            )
            return code
        restarts += 1
        pause = rule.pause_seconds(restarts)
        output.say(f"{why}; restart {restarts} of {rule.max_restarts} in {pause:g} s.")
        if _asked_within(pause, requests):
            return code


def _run_once(
    workers: processes.Peers,
    requests: stopping.Requests,
    grace_seconds: float,
    output: output_lib.Output,
) -> int:
    """Wait until all workers have ended, kill those that do not; return the verdict."""
    try:
        _wait(workers, requests, grace_seconds, output)
    finally:
        workers.finish()
    code = verdict(workers.codes)
    if code not in (0, signals.EXIT_CODE):
        who = (str(i) for i, its in sorted(workers.codes.items()) if its == code)
        output.complain(
            f"Error: exit code {code} from worker {', '.join(who)}; the lines above "
            "say why."
        )
    return code


def _wait(
    workers: processes.Peers,
    requests: stopping.Requests,
    grace_seconds: float,
    output: output_lib.Output,
) -> None:
    """Return when all workers have ended.

    Once one has failed, the others may take `grace_seconds` to notice; then they get
    SIGTERM and as much time again; then SIGKILL, which ends a stopped process too.
    """
    escalation = [signal.SIGTERM, signal.SIGKILL]
    deadline = math.inf
    failed = False
    while workers.reap():
        now = time.monotonic()
        if not failed and any(workers.codes.values()):
            failed, deadline = True, now + grace_seconds
            why = _first_failure(workers.codes)
            output.say(f"{why}; the others have {grace_seconds:g} s to end.")
        if now >= deadline:
            number = escalation.pop(0)
            deadline = now + grace_seconds if escalation else math.inf
            output.say(f"Some run {grace_seconds:g} s later: {number.name}.")
            workers.send(number)
        asked = requests.wait(deadline - now)
        if asked:
            workers.send(asked)


def _first_failure(codes: Mapping[int, int]) -> str:
    worker, code = next((w, c) for w, c in codes.items() if c)
    if code > 0:
        return f"Worker {worker} ended with exit code {code}"
    return f"Worker {worker} died of signal {-code} ({signal.strsignal(-code)})"


def _asked_within(seconds: float, requests: stopping.Requests) -> bool:
    """Wait; return early and True when this process is asked to stop."""
    deadline = time.monotonic() + seconds
    while not requests.came and (left := deadline - time.monotonic()) > 0:
        requests.wait(left)
    return requests.came
