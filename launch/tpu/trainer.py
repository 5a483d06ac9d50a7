"""The trainer on a slice: ship the project, start it, follow worker 0's log."""

import contextlib
import dataclasses
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from launch import checkout
from launch.tpu import gcloud, phrases, provision, states
from launch.tpu.starts import Start
from sam_pod import errors

ARCHIVE = "sam_pod.tar.gz"
HOME = "sam_pod"  # The project's folder in a worker's home.
_COORDINATOR = "launch/remote/coordinator.py"
_SILENCE_SECONDS = 90.0  # Six times the pause between the coordinator's signs of life.
_HOSTS_SECONDS = 3600.0  # A host that is lost silently ends no connection.
_MOST_RECONNECTS = 20  # In a row, to a slice that is said to be READY.


@dataclasses.dataclass(frozen=True)
class Ending:
    """How an attempt ended."""

    code: int | None  # The trainer's exit code, minus its signal; None for a loss.
    slice_is_lost: bool = False


def pack(archive: str) -> list[str]:
    """Return the command that packs what is shipped."""
    return [
        *("tar", "--create", "--gzip", f"--file={archive}", "--exclude=__pycache__"),
        *(f"--directory={checkout.ROOT}", *checkout.SHIPPED),
    ]


def install_line(runtime_version: str, start: Start) -> str:
    """Return the line of shell that unpacks and installs on a worker."""
    words = start.install_words(runtime_version)
    return phrases.remote(
        ["mkdir", "-p", HOME],
        ["rm", "-rf", *(f"{HOME}/{name}" for name in checkout.SHIPPED)],
        ["tar", "--extract", "--gzip", f"--file={ARCHIVE}", f"--directory={HOME}"],
        ["bash", f"{HOME}/launch/remote/install.sh", *words],
    )


def clean_line() -> str:
    """Return the line of shell that frees a worker's chips for another start."""
    return phrases.remote(["bash", f"{HOME}/launch/remote/clean.sh"])


def coordinator_line(*words: str) -> str:
    """Return the line of shell that asks the coordinator's script for something."""
    return phrases.remote(["python3", f"{HOME}/{_COORDINATOR}", *words])


def status_line() -> str:
    """Return the line that prints the run's state, even where nothing is installed."""
    return f"test ! -e {HOME}/{_COORDINATOR} || {coordinator_line('status')}"


def install(place: phrases.Place, runtime_version: str, start: Start) -> None:
    """Ship the project to all workers and install it there.

    Raises:
        GcloudError: it failed, on any of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = os.path.join(folder, ARCHIVE)
        subprocess.run(pack(archive), check=True)
        provision.say(f"Shipping {checkout.ROOT}, with changes that are not committed.")
        words = phrases.copy(place, archive, ARCHIVE)
        gcloud.call(words, timeout_seconds=_HOSTS_SECONDS)
    provision.say("Installing on all workers; minutes where nothing is there yet ...")
    line = install_line(runtime_version, start)
    gcloud.call(phrases.ssh(place, "all", line), timeout_seconds=_HOSTS_SECONDS)


def clean(place: phrases.Place) -> None:
    """Free the chips of all workers from what an earlier attempt left.

    Raises:
        GcloudError: it failed, on any of them.
    """
    line = clean_line()
    gcloud.call(phrases.ssh(place, "all", line), timeout_seconds=_HOSTS_SECONDS)


def look(place: phrases.Place, workers: str) -> list[dict[str, Any]]:
    """Return the state of the run on each host where the project is.

    They are as the coordinator's script prints them, in any order.

    Raises:
        GcloudError: one of the workers, '0' or 'all', could not be asked.
    """
    answer = gcloud.call(phrases.ssh(place, workers, status_line()))
    found = (_parse(line.encode()) for line in answer.splitlines())
    return [each for each in found if "state" in each]


def start(
    place: phrases.Place, command: Sequence[str], token: str, workers: str = "0"
) -> None:
    """Start the trainer, detached from the connection.

    Args:
        place: Where the slice is.
        command: The trainer's command.
        token: The name of this attempt; two starts with one name start once.
        workers: The hosts that run it: '0' or 'all'.

    Raises:
        GcloudError: one could not be reached, or another trainer runs there.
    """
    line = coordinator_line("start", f"--token={token}", "--", *command)
    seconds = _HOSTS_SECONDS if workers == "all" else gcloud.ANSWER_SECONDS
    gcloud.call(phrases.ssh(place, workers, line), timeout_seconds=seconds)


def kill(place: phrases.Place, workers: str) -> None:
    """Kill the trainers that run.

    Raises:
        GcloudError: one of the workers, '0' or 'all', could not be reached.
    """
    gcloud.call(phrases.ssh(place, workers, coordinator_line("kill")))


def follow(the_slice: provision.Slice) -> Ending:
    """Print the trainer's log until it has ended, over as many connections as it takes.

    Raises:
        SliceGone: somebody deleted the slice.
    """
    at, reconnects = 0, 0
    while True:
        before = at
        for frame in _frames(the_slice.place, at):
            if "text" in frame:
                reconnects = 0
                at = _show(frame, at)
            elif frame.get("state") == "ended":
                return Ending(frame["code"])
            elif frame.get("state") in ("none", "vanished"):
                return Ending(None)
        reconnects = 0 if at > before else reconnects + 1
        seen, _, _ = the_slice.look()
        step = states.next_step(seen, was_ready=True)
        if step is states.Step.GONE:
            raise provision.SliceGone
        if step is not states.Step.USE:
            provision.say(f"Lost {the_slice.place.name}: {seen}.")
            return Ending(None, slice_is_lost=True)
        if reconnects > _MOST_RECONNECTS:
            provision.say(f"{the_slice.place.name} is READY and cannot be reached.")
            return Ending(None, slice_is_lost=True)
        provision.say("The connection broke; the trainer goes on. Connecting again ...")
        time.sleep(the_slice.poll_seconds)


def _frames(place: phrases.Place, at: int) -> Iterator[dict[str, Any]]:
    """Yield what `coordinator.py follow` prints, until the connection ends."""
    words = phrases.ssh(place, "0", coordinator_line("follow", f"--at={at}"))
    rest = b""
    with gcloud.start(words, stderr=subprocess.DEVNULL) as process:
        poll = select.poll()
        poll.register(process.stdout)
        while poll.poll(_SILENCE_SECONDS * 1000):
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from filter(None, map(_parse, lines))


def _show(frame: dict[str, Any], at: int) -> int:
    """Print the part of the frame that was not printed yet; return where the log is.

    gcloud repeats the command when its connection breaks: text comes twice then.
    """
    data = frame["text"].encode(errors="surrogateescape")
    new = data[max(0, at - frame["at"]) :]
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(new)
        sys.stdout.flush()
    return max(at, frame["at"] + len(data))


def _parse(line: bytes) -> dict[str, Any]:
    """Return a line of the coordinator; {} for anything else, such as half a line."""
    with contextlib.suppress(ValueError):
        content = json.loads(line)
        if isinstance(content, dict):
            return content
    return {}


def refuse_busy(place: phrases.Place, found: dict[str, Any]) -> errors.UserError:
    """Return the error for a slice on which another trainer runs."""
    stop = f"python3 {HOME}/{_COORDINATOR} stop"
    return errors.UserError(
        f"Another trainer runs on {place.name} ({gcloud.quote(found['command'])}); see "
        f"it with `{provision.launcher('logs', place)}`, or stop it with "
        f"`{provision.launcher('ssh', place)} -- {stop}`."
    )
