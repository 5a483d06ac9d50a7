"""The processes of a study's runs: started, asked to stop, and how they ended."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence

from sam_pod import errors
from sam_pod.process import child
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import files
from sam_pod.study import found, trials

_TAIL_BYTES = 1 << 14


@dataclasses.dataclass
class Process:
    """A run that is under way."""

    run: trials.Run
    workdir: str
    slot: int  # Which share of the cores it has.
    popen: subprocess.Popen
    begun_at: tuple[int, int]  # The steps and epochs of the run when it was started.

    def ask_to_stop(self) -> None:
        """Ask the run, and what it has started, to save and end."""
        os.killpg(self.popen.pid, signal.SIGTERM)

    def code(self) -> int | None:
        """Return the exit code, None while it runs; -9 is SIGKILL."""
        return self.popen.poll()


def start(
    run: trials.Run,
    workdir: str,
    *,
    launcher: Sequence[str],
    words: Sequence[str],
    slot: int,
    cores: Collection[int],
    begun_at: tuple[int, int],
) -> Process:
    """Start a run, or go on with it.

    Args:
        run: The run.
        workdir: Its folder.
        launcher: What precedes the command, such as that of several workers.
        words: Arguments that all runs get beside config keys.
        slot: The share of the cores that it has.
        cores: The cores in it; () for all.
        begun_at: The steps and epochs that are done.

    Raises:
        UserError: it cannot be started.
    """
    os.makedirs(os.path.dirname(workdir), exist_ok=True)
    command = [
        *launcher,
        *(sys.executable, "-m", "sam_pod.main"),
        *run.trial.arguments(run.seed),
        *words,
        f"--workdir={workdir}",
    ]
    if os.path.lexists(found.outcome_path(workdir)):
        os.remove(found.outcome_path(workdir))
    try:
        with files.lock(found.running_path(workdir)) as held:
            log = found.log_path(workdir)
            popen = child.start(command, log, cores, inherits=(held.fileno(),))
    except OSError as error:
        raise errors.UserError(f"Cannot start {command[0]}: {error}.") from error
    return Process(run, workdir, slot, popen, begun_at)


def is_used(workdir: str) -> bool:
    """Return whether a process is running in a workdir, or about to.

    A trainer locks its workdir once its libraries are there. One that a killed study
    has left behind may still be on its way to that; it has inherited another lock.
    """
    return _is_locked(found.running_path(workdir)) or _is_locked(
        os.path.join(workdir, workdir_lib.LOCK)
    )


def _is_locked(path: str) -> bool:
    try:
        with open(path, "r+") as file:
            return not files.try_lock(file)
    except OSError:
        return False


def last_line(workdir: str) -> str:
    """Return the line in which a run's last process has said why it ended."""
    try:
        with open(found.log_path(workdir), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    marked = [line for line in said if line.startswith("Error: ")]
    return (marked or said or [""])[-1].removeprefix("Error: ")
