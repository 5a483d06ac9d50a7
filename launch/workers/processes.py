"""The workers of one run as processes of this machine: start, signal, end."""

import ctypes
import functools
import itertools
import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence

from launch.workers import output as output_lib
from sam_pod import errors
from sam_pod.process import child

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)
# Below the ports that the system gives to outgoing connections, any of which could be
# taken between this look and the worker's bind.
_FREE_PORTS = range(10_000, 32_768)


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port, at every address."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", port))
            server.listen()
        except OSError:
            return False
    return True


def take_ports(count: int, wanted: Sequence[int] = ()) -> list[int]:
    """Return the wanted ports, or else that many on which nobody listens.

    Raises:
        UserError: a wanted port is in use, or none is left.
    """
    for port in wanted:
        if not is_free(port):
            raise errors.UserError(
                f"Port {port} is in use: stop what listens there, give other --ports, "
                "or leave --ports out."
            )
    if wanted:
        return list(wanted)
    candidates = random.SystemRandom().sample(_FREE_PORTS, len(_FREE_PORTS))
    found = list(itertools.islice(filter(is_free, candidates), count))
    if len(found) < count:
        raise errors.UserError(f"This machine has no {count} free ports for workers.")
    return found


class Peers:
    """One process for each worker, alive no longer than this process."""

    def __init__(
        self, command: Sequence[str], ports: Sequence[int], output: output_lib.Output
    ) -> None:
        """Start a worker for each port; the first is the chief.

        Call it from the main thread, whose death ends the workers.

        Raises:
            UserError: the command cannot be started.
        """
        self.codes: dict[int, int] = {}  # Of ended workers; -9 is SIGKILL.
        self._running: dict[int, subprocess.Popen] = {}
        self._copiers: list[output_lib.Copier] = []
        addresses = [f"127.0.0.1:{port}" for port in ports]
        try:
            for index in range(len(ports)):
                self._running[index] = _start(command, addresses, index)
        except OSError as error:
            self.finish()
            raise errors.UserError(f"Cannot start {command[0]}: {error}.") from error
        # After the last fork: in a process with threads it could leave a child stuck.
        for index, process in self._running.items():
            self._copiers += [
                output_lib.Copier(process.stdout, index, output_lib.STDOUT, output),
                output_lib.Copier(process.stderr, index, output_lib.STDERR, output),
            ]

    def reap(self) -> bool:
        """Note in `codes` which workers have ended; return whether any still runs."""
        for index, process in list(self._running.items()):
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, process.pid, how) is not None:
                self._end(index)
        return bool(self._running)

    def send(self, number: int) -> None:
        """Send a signal to the workers that run, and to what they started."""
        for process in self._running.values():
            os.killpg(process.pid, number)

    def finish(self) -> None:
        """Kill the workers that still run, and copy all that was printed."""
        for index in list(self._running):
            self._end(index)
        for copier in self._copiers:
            copier.finish()

    def _end(self, index: int) -> None:
        # What a worker started ends with it. Nobody else gets the number of its group
        # before the worker is waited for.
        process = self._running.pop(index)
        os.killpg(process.pid, signal.SIGKILL)
        self.codes[index] = process.wait()


def _start(
    command: Sequence[str], addresses: Sequence[str], index: int
) -> subprocess.Popen:
    cluster = {
        "cluster": {"worker": list(addresses)},
        "task": {"type": "worker", "index": index},
    }
    return subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",  # Lines show when they are printed.
            "TF_CONFIG": json.dumps(cluster),
        },
        start_new_session=True,  # The terminal's Ctrl-C comes to us alone.
        preexec_fn=tied_to_us(),
    )


def tied_to_us() -> Callable[[], None]:
    """Return a preexec_fn for a child that this thread starts and outlives."""
    return functools.partial(_begin, os.getpid())


def _begin(launcher: int) -> None:
    """Tie the child to the launcher, and take back the signals that it blocks."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # It died before the line above.
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    child.keep_nice()
