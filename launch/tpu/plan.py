"""The story of a launch as a script: what --dry_run prints."""

import os
import re
import shlex
import tempfile
from collections.abc import Sequence

from launch.tpu import phrases, runtimes, trainer
from launch.tpu.starts import Start

# These stand for gcloud's own project where none is given, and for the hosts'
# addresses, which are known only once the slice is there.
PROJECT = "project-of-gcloud"
_TPU = "grpc://hosts-of-the-slice"
_WIDTH = 88
_ARCHIVE = os.path.join(tempfile.gettempdir(), trainer.ARCHIVE)
_EXIT = 'exit "${code:-42}"'
# The coordinator's last line has the trainer's exit code.
_CODE = (
    r"""tee /dev/stderr | sed -n 's/^{"state": "ended", "code": \([-0-9]*\).*/\1/p'"""
)


def up(
    place: phrases.Place,
    request: phrases.SliceRequest,
    arguments: Sequence[str],
    *,
    before: Sequence[str] = (),
    start: Start,
    down_when_done: bool,
) -> str:
    """Return what `up` runs where nothing is there yet, as a script for bash.

    Args:
        place: Where the slice will be.
        request: The slice that is asked for.
        arguments: The trainer's arguments as they hold on the slice.
        before: A command that runs first, on this machine.
        start: How the run is started there.
        down_when_done: Whether nothing is left in the end.
    """
    compiles = ["", "# Compile the run for the slice, and check it.", _line(before)]
    once = _bring_up(place, request) + _install(place, request.runtime_version, start)
    lines = [
        "# What `up` runs when all goes well, and when the slice is lost. Besides, it",
        "# uses a slice that is there, and connects again after a broken connection.",
        *_besides(place),
        *(compiles if before else []),
        "",
        "# A slice of this name must not be there: both must be NOT_FOUND.",
        *(f"if {line}; then exit 1; fi" for line in _describe(place)),
        *_pack(),
    ]
    if arguments:
        once += ["", *_train(place, arguments, start), "", *_again(place, request)]
        lines += ["while true; do", *_indent(once), "done"]
    else:
        lines += [*once, "code=0"]
    if down_when_done:
        lines += _done(place, request.queued)
    return _script(place, [*lines, _EXIT])


def run(
    place: phrases.Place,
    version: str,
    arguments: Sequence[str],
    *,
    start: Start,
    down_when_done: bool,
) -> str:
    """Return what `run` runs on a slice that is READY, as a script for bash."""
    version = version or (runtimes.POD if start.is_pod else runtimes.SINGLE_HOST)
    lines = [
        "# What `run` runs when all goes well.",
        *_besides(place),
        *_pack(),
        *_install(place, version, start),
        "",
        *_train(place, arguments, start),
        *(_done(place, queued=True) if down_when_done else []),
    ]
    return _script(place, [*lines, _EXIT])


def down(place: phrases.Place) -> str:
    """Return what `down` runs where everything is there, as a script for bash."""
    return _script(place, _down(place, queued=True))


def lines(place: phrases.Place, *several: Sequence[str]) -> str:
    """Return commands that only ask, as a script for bash."""
    return _script(place, [_line(words) for words in several])


def _script(place: phrases.Place, lines: Sequence[str]) -> str:
    own = place.project == PROJECT
    project = ["project=$(gcloud config get-value project)", ""] if own else []
    head = ["(  # A subshell, so that all of it can be pasted.", "set -euo pipefail"]
    return "\n".join([*head, *project, *lines, ")"])


def _describe(place: phrases.Place) -> list[str]:
    queued, node = (
        phrases.describe_queued(place),
        phrases.describe_node(place),
    )
    return [_line(queued), _line(node)]


def _besides(place: phrases.Place) -> list[str]:
    look, clean = trainer.status_line(), trainer.clean_line()
    parts = (
        ("Does a trainer run there already?", phrases.ssh(place, "0", look)),
        (
            "Before another start on the same hosts:",
            phrases.ssh(place, "all", clean),
        ),
        (
            "For a queued resource that cannot be deleted otherwise:",
            phrases.delete_queued(place, force=True),
        ),
    )
    return [
        f"# {line}"
        for title, words in parts
        for line in (title, *(f"  {part}" for part in _line(words).split("\n")))
    ]


def _done(place: phrases.Place, queued: bool) -> list[str]:
    return ["", "# Nothing is left that costs money.", *_down(place, queued)]


def _pack() -> list[str]:
    note = "# The project as it is here, with changes that are not committed."
    return ["", note, _line(trainer.pack(_ARCHIVE)), ""]


def _bring_up(place: phrases.Place, request: phrases.SliceRequest) -> list[str]:
    state = phrases.describe_node(place, "value(state)")
    lines = [
        "# Create it, and wait until it is READY.",
        _line(phrases.create(place, request)),
    ]
    if request.queued:
        queued = phrases.describe_queued(place, "value(state.state)")
        lines.append(_until(queued, "ACTIVE"))
    return [*lines, _until(state, "READY")]


def _install(place: phrases.Place, version: str, start: Start) -> list[str]:
    line = trainer.install_line(version, start)
    return [
        "",
        "# Ship the project to all hosts, and install it there.",
        _line(phrases.copy(place, _ARCHIVE, trainer.ARCHIVE)),
        _line(phrases.ssh(place, "all", line)),
    ]


def _train(place: phrases.Place, arguments: Sequence[str], start: Start) -> list[str]:
    lines = ["# Start the trainer, detached; follow worker 0's log to its end."]
    is_driven = start.is_pod and not start.by_jax  # From worker 0.
    if is_driven:
        addresses = phrases.describe_node(place, "value(networkEndpoints[].ipAddress)")
        lines += [
            f"hosts=$({_line(addresses)})",
            f"tpu=grpc://${{hosts//;/:{phrases.TPU_PORT},grpc://}}:{phrases.TPU_PORT}",
        ]
    command = start.command(arguments, _TPU if is_driven else "local")
    begin = trainer.coordinator_line("start", "--token=1", "--", *command)
    follow = trainer.coordinator_line("follow", "--at=0")
    return [
        *lines,
        _line(phrases.ssh(place, start.workers, begin)),
        f"code=$({_line(phrases.ssh(place, '0', follow))} |\n  {_CODE}) || true",
        *(_wait_for_all(place) if start.workers == "all" else []),
    ]


def _wait_for_all(place: phrases.Place) -> list[str]:
    status = _line(phrases.ssh(place, "all", trainer.status_line()))
    return [
        "# The other hosts' trainers end after it.",
        f"while {status} |\n  grep -q '\"running\"'; do\n  sleep 20\ndone",
    ]


def _again(place: phrases.Place, request: phrases.SliceRequest) -> list[str]:
    return [
        "# Exit code 42 or 134, a death by a signal, or no code because the slice is",
        "# lost: delete it and begin again.",
        'case "${code:-42}" in 42 | 134 | -*) ;; *) break ;; esac',
        *_down(place, request.queued),
    ]


def _down(place: phrases.Place, queued: bool) -> list[str]:
    node = phrases.describe_node(place, "value(state)")
    lines = [
        f"{_line(phrases.delete_node(place))} || true",
        f"while {_line(node)}; do\n  sleep 20\ndone",
    ]
    if queued:
        description = phrases.describe_queued(place, "value(state.state)")
        lines += [
            f"while {_line(description)}; do",
            f"  {_line(phrases.delete_queued(place))} || sleep 20",
            "done",
        ]
    return lines


def _until(words: Sequence[str], state: str) -> str:
    return f'until [ "$({_line(words)})" = {state} ]; do\n  sleep 20\ndone'


def _line(words: Sequence[str]) -> str:
    """Return a command as lines of bash, with what is known only later put in."""
    lines, width = [""], 0
    for word in map(_quote, words):
        if width and width + len(word) > _WIDTH:
            lines.append("  ")
            width = 0
        lines[-1] += f" {word}" if width else word
        width += len(word) + 1
    return " \\\n".join(lines)


def _quote(word: str) -> str:
    """Return a word quoted for bash, on one line, and a flag outside the quotes."""
    if word == f"--project={PROJECT}":
        return '--project="$project"'
    flag = re.match(r"--[a-z-]+=", word)
    if flag:
        return flag.group() + _quote(word[flag.end() :])
    if word.isprintable():
        return shlex.quote(word).replace(_TPU, "'\"$tpu\"'")
    escaped = "".join(
        f"\\{c}" if c in "\\'" else c if c.isprintable() else _escape(c) for c in word
    )
    return f"$'{escaped}'".replace(_TPU, "'\"$tpu\"$'")


def _escape(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def _indent(lines: Sequence[str]) -> list[str]:
    return [
        "\n".join(f"  {part}" for part in line.split("\n")) if line else ""
        for line in lines
    ]
