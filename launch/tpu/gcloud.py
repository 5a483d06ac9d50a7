"""Run gcloud: commands as lists of words, answers as JSON, errors by their kind."""

import contextlib
import enum
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from sam_pod import errors

ANSWER_SECONDS = 300.0  # For a command that only asks; one that hangs runs again.
_GRACE_SECONDS = 3.0


class Kind(enum.Enum):
    """What went wrong, as far as gcloud's words show it."""

    NOT_FOUND = "not found"
    EXISTS = "exists already"
    QUOTA = "over the quota"
    STOCKOUT = "no capacity"
    DENIED = "not allowed"
    LOGIN = "not logged in"
    INVALID = "refused as invalid"
    OTHER = "failed"


# The first pattern found in gcloud's stderr gives the kind. The words are the API's:
# marin-community/marin issues 3404 (not found) and 1612 (quota), skypilot-org/skypilot
# issue 4579 and hashicorp/terraform-provider-google issue 21243 (capacity); the last
# two are gcloud's own.
_PATTERNS = (
    (Kind.EXISTS, r"ALREADY_EXISTS|already exists"),
    (Kind.STOCKOUT, r"no more capacity|[Ii]nsufficient (reserved )?capacity|STOCKOUT"),
    (Kind.QUOTA, r"RESOURCE_EXHAUSTED|Quota limit|[Qq]uota.* exceeded"),
    (
        Kind.LOGIN,
        r"have an active account|gcloud auth login|Reauthentication|invalid_grant",
    ),
    (Kind.DENIED, r"PERMISSION_DENIED|does not have permission|SERVICE_DISABLED"),
    (
        Kind.INVALID,
        r"INVALID_ARGUMENT|unrecognized arguments|argument --|Invalid (choice|value)",
    ),
)
# What `ssh` and `scp` say whether they fail or not.
_NOISE = r"#####|SSH: |SCP: |Using (ssh|scp) batch size|Retrying: "
# The API was not even asked, or said no at once.
REFUSED = (Kind.DENIED, Kind.LOGIN, Kind.INVALID)
USERS_KINDS = (*REFUSED, Kind.QUOTA)  # Trying again does not help.


class GcloudError(Exception):
    """gcloud ended with an error; the message is one line."""

    def __init__(self, kind: Kind, message: str, *, of_host: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.of_host = of_host  # A command on a host failed, not the way to it.


def classify(stderr: str, resource: str = "") -> Kind:
    """Return what the stderr of a failed gcloud means.

    Args:
        stderr: gcloud's whole stderr.
        resource: The end of the name that was asked for, such as 'nodes/pod'. Only an
            error saying that this very resource is not there is NOT_FOUND: a missing
            project or zone proves nothing about it.
    """
    if resource and re.search(
        rf"NOT_FOUND: Resource '[^']*/{re.escape(resource)}' was not found", stderr
    ):
        return Kind.NOT_FOUND
    for kind, pattern in _PATTERNS:
        if re.search(pattern, stderr):
            return kind
    return Kind.OTHER


def check_installed() -> None:
    """Refuse a machine without gcloud.

    Raises:
        UserError: it is not on the PATH.
    """
    if shutil.which("gcloud") is None:
        raise errors.UserError(
            "gcloud is not on the PATH; install the Google Cloud CLI and log in with "
            "`gcloud auth login`."
        )


def default_project() -> str:
    """Return the project of gcloud's configuration.

    Raises:
        UserError: there is none.
    """
    words = ["gcloud", "config", "get-value", "project", "--quiet"]
    try:
        project = call(words).strip()
    except GcloudError as error:
        raise errors.UserError(f"gcloud knows no project: {error}") from error
    if not project or project == "(unset)":
        raise errors.UserError(
            "No project: give --project=ID, or set one with "
            "`gcloud config set project ID`."
        )
    return project


def call(
    words: Sequence[str],
    *,
    resource: str = "",
    timeout_seconds: float | None = ANSWER_SECONDS,
) -> str:
    """Run a command and return its stdout.

    Args:
        words: The command's words; no shell sees them.
        resource: The resource that `classify` looks for in an error.
        timeout_seconds: The longest wait; None waits for ever.

    Raises:
        GcloudError: it failed, or took longer.
    """
    with start(words, stderr=subprocess.PIPE) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as error:
            message = f"{_brief(words)} gave no answer in {timeout_seconds:g} s"
            raise GcloudError(Kind.OTHER, message) from error
    text = stderr.decode(errors="replace")
    if process.returncode:
        # `ssh` returns the exit code of the host's command, and 255 without a host.
        of_host = process.returncode != 255 and "ERROR: (gcloud" not in text
        message = one_line(text, process.returncode)
        raise GcloudError(classify(text, resource), message, of_host=of_host)
    return stdout.decode(errors="replace")


def ask(words: Sequence[str], resource: str = "") -> dict[str, Any]:
    """Run a command that ends in --format=json, and return what it answers.

    Raises:
        GcloudError: it failed, or its answer is no JSON object.
    """
    answer = call(words, resource=resource)
    with contextlib.suppress(ValueError):
        content = json.loads(answer)
        if isinstance(content, dict):
            return content
    raise GcloudError(Kind.OTHER, f"{_brief(words)} answered {answer[:80]!r}")


@contextlib.contextmanager
def start(words: Sequence[str], **options: Any) -> Any:
    """Run a command as a `Popen` in a session of its own, ended with the block.

    A Ctrl-C in the terminal reaches the launcher alone, which then ends the command.
    """
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def one_line(stderr: str, code: int) -> str:
    """Return the error in what a failed gcloud printed."""
    stripped = [line.strip() for line in stderr.splitlines()]
    lines = [line for line in stripped if line and not re.match(_NOISE, line)]
    start = next((i for i, line in enumerate(lines) if line.startswith("ERROR:")), None)
    if start is None:
        chosen = lines[-3:] or [f"gcloud ended with exit code {code}"]
    elif lines[start].endswith(("{", ":")):  # JSON, or a list of details, follows.
        chosen = lines[start : start + 6]
    else:
        chosen = lines[start : start + 1]
    return " ".join(chosen).removeprefix("ERROR: ")[:600]


def quote(words: Sequence[str]) -> str:
    """Return a command as a line that a shell splits into the same words."""
    return shlex.join(words)


def _brief(words: Sequence[str]) -> str:
    return " ".join(word for word in words if not word.startswith("-"))[:120]


def _end(process: subprocess.Popen) -> None:
    """End a process that still runs, with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
