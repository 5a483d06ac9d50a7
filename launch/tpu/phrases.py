"""The gcloud commands of a slice, as lists of words.

Flags: `gcloud compute tpus {tpu-vm,queued-resources} --help` of Google Cloud CLI 528.
"""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from sam_pod import errors

TPU_PORT = 8470  # The port of the gRPC server on each host.


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a slice is, or will be, and how its hosts are reached."""

    name: str
    zone: str
    project: str
    internal_ips: bool = False
    tunnel_through_iap: bool = False

    def __post_init__(self) -> None:
        """Refuse words that could not be names, as those of a flag.

        Raises:
            UserError: naming the flag.
        """
        for flag, value, pattern, example in (
            ("name", self.name, r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", "pod-1"),
            ("zone", self.zone, r"[a-z]+-[a-z]+\d+-[a-z]", "us-central2-b"),
            ("project", self.project, r"[a-z][-a-z0-9.:]*[a-z0-9]", "my-project"),
        ):
            if not value:
                raise errors.UserError(f"--{flag} is missing; it is like {example}.")
            if not re.fullmatch(pattern, value):
                raise errors.UserError(f"--{flag}={value} must be like {example}.")

    @property
    def flags(self) -> list[str]:
        """Return the flags that every command about the slice has."""
        return [f"--zone={self.zone}", f"--project={self.project}", "--quiet"]

    @property
    def launcher_flags(self) -> str:
        """Return the same as flags of this launcher, with how to reach the hosts."""
        how = " --internal_ips" if self.internal_ips else ""
        how += " --tunnel_through_iap" if self.tunnel_through_iap else ""
        return f"--name={self.name} --zone={self.zone} --project={self.project}{how}"


@dataclasses.dataclass(frozen=True)
class SliceRequest:
    """The slice that is asked for."""

    accelerator_type: str
    runtime_version: str
    queued: bool = False
    autocheckpoint_enabled: bool = False
    flags: tuple[str, ...] = ()  # Passed through, such as --spot and --labels=a=b.


def create(place: Place, request: SliceRequest) -> list[str]:
    """Return the command that creates the slice, or puts it into the queue."""
    # Only gcloud's alpha commands know --autocheckpoint-enabled.
    track = ["alpha"] if request.autocheckpoint_enabled else []
    if request.queued:
        kind = ["queued-resources", "create", place.name, f"--node-id={place.name}"]
        version = f"--runtime-version={request.runtime_version}"
    else:
        kind = ["tpu-vm", "create", place.name]
        version = f"--version={request.runtime_version}"
    return [
        *("gcloud", *track, "compute", "tpus", *kind, *place.flags),
        f"--accelerator-type={request.accelerator_type}",
        version,
        *(["--autocheckpoint-enabled"] if request.autocheckpoint_enabled else []),
        *request.flags,
    ]


def describe_node(place: Place, answer: str = "json") -> list[str]:
    """Return the command that describes the node."""
    return _tpu_vm("describe", place.name, *place.flags, f"--format={answer}")


def describe_queued(place: Place, answer: str = "json") -> list[str]:
    """Return the command that describes the queued resource."""
    return _queued("describe", place.name, *place.flags, f"--format={answer}")


def delete_node(place: Place) -> list[str]:
    """Return the command that deletes the node."""
    return _tpu_vm("delete", place.name, *place.flags)


def delete_queued(place: Place, *, force: bool = False) -> list[str]:
    """Return the command that deletes the queued resource; by force with its node."""
    forced = ["--force"] if force else []
    return _queued("delete", place.name, *place.flags, *forced)


def ssh(place: Place, worker: str, command: str = "") -> list[str]:
    """Return the command that runs a line of shell on a worker, '0' or 'all'.

    gcloud hands the line to ssh as it is, and ssh to the worker's shell: its words are
    quoted once, for that shell (see `remote`).
    """
    line = [f"--command={command}"] if command else []
    return [*_connect(place, "ssh"), place.name, f"--worker={worker}", *line]


def copy(place: Place, source: str, target: str) -> list[str]:
    """Return the command that copies a local file to the home of every worker."""
    words = [*_connect(place, "scp"), source, f"{place.name}:{target}"]
    return [*words, "--worker=all"]


def remote(*commands: Sequence[str]) -> str:
    """Return a line of shell that runs the commands until one fails."""
    return " && ".join(shlex.join(command) for command in commands)


def tpu_address(addresses: Sequence[str]) -> str:
    """Return the trainer's --tpu for a slice whose hosts have these addresses."""
    if len(addresses) == 1:
        return "local"
    return ",".join(f"grpc://{address}:{TPU_PORT}" for address in addresses)


def _connect(place: Place, verb: str) -> list[str]:
    # Tunnels are in gcloud's alpha commands alone.
    track = ["alpha"] if place.tunnel_through_iap else []
    how = ["--internal-ip"] if place.internal_ips and not track else []
    how = ["--tunnel-through-iap"] if track else how
    return ["gcloud", *track, "compute", "tpus", "tpu-vm", verb, *place.flags, *how]


def _tpu_vm(*words: str) -> list[str]:
    return ["gcloud", "compute", "tpus", "tpu-vm", *words]


def _queued(*words: str) -> list[str]:
    return ["gcloud", "compute", "tpus", "queued-resources", *words]
