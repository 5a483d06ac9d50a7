"""The workers of a run, as TF_CONFIG names them; read before TensorFlow is imported."""

import dataclasses
import json
import os
import re
import socket
from typing import Any

from sam_pod import errors

_FORM = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", ...}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The addresses of all workers, chief first, and which one this process is."""

    addresses: tuple[str, ...] = ("",)
    index: int = 0
    has_chief: bool = False  # The first is of the job `chief`, not `worker`.

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """Return TensorFlow's jobs in the order of the addresses, with their sizes."""
        count = len(self.addresses)
        sizes = [("chief", 1), ("worker", count - 1)] if self.has_chief else []
        return [(job, n) for job, n in sizes or [("worker", count)] if n]

    def to_json(self) -> str:
        """Return the cluster as TensorFlow reads it, with nothing left out."""
        names, jobs = list(self.addresses), {}
        for job, count in self.jobs:
            jobs[job], names = names[:count], names[count:]
        task = ("chief", 0) if self.has_chief and not self.index else None
        kind, index = task or ("worker", self.index - self.has_chief)
        return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})

    @property
    def is_chief(self) -> bool:
        """Whether this process writes: checkpoints, metrics, the result."""
        return self.index == 0


def read() -> Cluster:
    """Return the cluster that TF_CONFIG describes; of one process when it is not set.

    A `chief` counts as the first worker. Nothing is contacted. An empty TF_CONFIG is
    taken out of the environment, for TensorFlow would parse it.

    Raises:
        UserError: it does not parse, or does not name this process exactly once.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        os.environ.pop("TF_CONFIG", None)
        return Cluster()
    try:
        content = json.loads(text)
        jobs, task = content.get("cluster", {}), content.get("task", {})
        addresses = [*_listed(jobs, "chief"), *_listed(jobs, "worker")]
        kind, index = task.get("type", "worker"), task.get("index", 0)
        if not str(index).lstrip("-").isdecimal():
            raise ValueError(f"its index is {index!r}")
        index = int(index)
        if len(_listed(jobs, "chief")) > 1:
            raise ValueError("it has more than one chief")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise errors.UserError(
            f"TF_CONFIG does not parse ({error}); it must be JSON like {_FORM}."
        ) from error
    others = set(jobs) - {"chief", "worker"}
    if others or kind not in ("chief", "worker"):
        wrong = min(others) if others else kind
        raise errors.UserError(
            f"TF_CONFIG has a task of type {wrong!r}; workers train here, and at most "
            "one of them is called chief."
        )
    if not addresses:
        return Cluster()
    own = _listed(jobs, kind)
    if not 0 <= index < len(own):
        raise errors.UserError(
            f"TF_CONFIG says that this is {kind} {index}; its cluster has "
            f"{len(own)} of that type, numbered from 0."
        )
    for address in addresses:
        if addresses.count(address) > 1:
            raise errors.UserError(
                f"TF_CONFIG names {address} twice; each worker has its own HOST:PORT."
            )
    offset = len(_listed(jobs, "chief")) if kind == "worker" else 0
    return Cluster(tuple(addresses), offset + index, bool(_listed(jobs, "chief")))


def check_port(cluster: Cluster) -> None:
    """Refuse a port of this process that another one holds.

    Raises:
        UserError: the port is in use, or is no port.
    """
    address = cluster.addresses[cluster.index]
    _, _, port = address.rpartition(":")
    try:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("", int(port)))
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise errors.UserError(
            f"TF_CONFIG gives this worker {address}, whose port cannot be used here "
            f"({reason}): stop what holds it, or give another."
        ) from error


def _listed(jobs: dict[str, Any], name: str) -> list[str]:
    addresses = jobs.get(name, [])
    if not isinstance(addresses, list) or not all(
        isinstance(address, str) and _is_address(address) for address in addresses
    ):
        raise ValueError(f"its {name} is {addresses!r}, not a list of HOST:PORT")
    return addresses


def _is_address(text: str) -> bool:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[\w.-]+):(\d{1,5})", text)
    return bool(match) and 0 < int(match[2]) < 2**16
