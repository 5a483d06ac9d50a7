"""Be one host of a TPU slice in GKE: python -m launch.gke.tpu_host -- --config=...

Experimental. Each host serves its chips by gRPC; the first one also runs
sam_pod.main with what follows `--`, and ends as that ends. GKE says in
TPU_WORKER_HOSTNAMES who the hosts are, and in TPU_WORKER_ID which one this is.
"""

import dataclasses
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from launch.workers import processes, stopping
from sam_pod import errors
from sam_pod.process import command, signals

PORT = 8470  # What coordinators expect.
_MESH_PORT = 8476
_PROBE_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_GRACE_SECONDS = 60.0  # For a trainer to notice that its own host's server is lost.


@dataclasses.dataclass(frozen=True)
class Host:
    """One host of a slice, by its place among the addresses HOST:PORT of all."""

    addresses: tuple[str, ...]
    index: int

    @property
    def tpu(self) -> str:
        """Return the value of the trainer's --tpu."""
        return ",".join(f"grpc://{address}" for address in self.addresses)

    @property
    def server_environment(self) -> dict[str, str]:
        """Return what TensorFlow's own worker on TPU VMs sets for the TPU's library."""
        first, own = (
            self.addresses[index].rpartition(":")[0] for index in (0, self.index)
        )
        return {
            "CLOUD_TPU_TASK_ID": str(self.index),
            "TPU_HOSTNAME_OVERRIDE": own,
            "TPU_MESH_CONTROLLER_ADDRESS": f"{first}:{_MESH_PORT}",
            "TPU_MESH_CONTROLLER_PORT": str(_MESH_PORT),
        }


def read(environment: Mapping[str, str]) -> Host:
    """Return the host that GKE's environment describes.

    Raises:
        UserError: it describes none.
    """
    names = [n for n in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if n]
    index = environment.get("TPU_WORKER_ID", "")
    if not index.isdecimal() or int(index) >= len(names):
        raise errors.UserError(
            f"TPU_WORKER_ID is {index!r} and TPU_WORKER_HOSTNAMES {','.join(names)!r}; "
            "GKE sets both in the pods of a JobSet that launch.gke has printed."
        )
    return Host(tuple(f"{name}:{PORT}" for name in names), int(index))


def run(host: Host, coordinator: Sequence[str], requests: stopping.Requests) -> int:
    """Serve this host's chips until the training ends; return the exit code.

    Args:
        host: This host.
        coordinator: The trainer's command, to which the first host adds --tpu.
        requests: Requests to stop. SIGTERM comes to all hosts at once: the first
            passes it to the trainer, which needs the others to save, so they serve
            until the first is gone.
    """
    port = host.addresses[host.index].rpartition(":")[2]
    started = [
        _start(
            [sys.executable, "-m", "launch.gke.tpu_server", port],
            host.server_environment,
        )
    ]
    try:
        if host.index > 0:
            return _serve(*started, host.addresses[0], requests)
        # The chips of this host are the server's.
        alone = {"TPU_LOAD_LIBRARY": "0"}
        started.append(_start([*coordinator, f"--tpu={host.tpu}"], alone))
        return _coordinate(*started, requests)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _start(command: Sequence[str], added: Mapping[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        env={**os.environ, **added},
        start_new_session=True,
        preexec_fn=processes.tied_to_us(),
    )


def _coordinate(
    server: subprocess.Popen, trainer: subprocess.Popen, requests: stopping.Requests
) -> int:
    """Return the trainer's exit code; kill it if it outlives the server for long."""
    deadline = math.inf
    while trainer.poll() is None:
        now = time.monotonic()
        if server.poll() is not None:
            deadline = min(deadline, now + _GRACE_SECONDS)
        if now >= deadline:
            trainer.kill()
        asked = requests.wait(deadline - now)
        if asked:
            trainer.send_signal(asked)
    code = trainer.returncode
    return 128 - code if code < 0 else code  # As a shell reports signals.


def _serve(server: subprocess.Popen, first: str, requests: stopping.Requests) -> int:
    """Return when the server is lost or, once asked to stop, the first host gone."""
    while server.poll() is None:
        asked = requests.wait(_PAUSE_SECONDS if requests.came else math.inf)
        if asked == signal.SIGKILL or (requests.came and not _is_up(first)):
            break
    return signals.EXIT_CODE


def _is_up(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _PROBE_SECONDS):
            return True
    except OSError:
        return False


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    requests = stopping.Requests()

    def serve() -> int:
        if argv[1:2] != ["--"]:
            raise errors.UserError("No `--`; the trainer's arguments follow it.")
        trainer = [sys.executable, "-m", "sam_pod.main", *argv[2:]]
        return run(read(os.environ), trainer, requests)

    return command.run(serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
