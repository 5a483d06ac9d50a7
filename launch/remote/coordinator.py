"""Runs on a TPU host: starts the trainer, outlives the ssh session, prints its log.

python3 coordinator.py start --token=T -- COMMAND ...
python3 coordinator.py follow --at=BYTE
python3 coordinator.py status
python3 coordinator.py stop
python3 coordinator.py kill

Answers are lines of JSON. The run's files are in run/ of the project's folder: `lock`,
held as long as the trainer lives, `record` (its command), `log`, and `exit` once it has
ended. Nothing here needs more than Python 3.8 and its library.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RUN = ROOT / "run"
BUSY, NOT_RUNNING = 3, 4  # Exit codes, beside 0 and 2.
_CHUNK_BYTES = 1 << 16
_LOCK_SECONDS = 2.0
_PAUSE_SECONDS = 0.2
_ALIVE_SECONDS = 15.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def start(token: str, command: "list[str]") -> int:
    """Start the command, detached; do nothing if this token was started already.

    The same start may come twice: gcloud repeats a command whose connection broke.
    """
    RUN.mkdir(parents=True, exist_ok=True)
    lock = _take_lock(token)
    record = _read("record")
    if record.get("token") == token:
        return _answer({"started": token})
    if lock is None:
        return _answer({"busy": record.get("command")}, BUSY)
    for old in ("exit", "pid"):
        with contextlib.suppress(FileNotFoundError):
            (RUN / old).unlink()
    with contextlib.suppress(FileNotFoundError):
        (RUN / "log").replace(RUN / "log.previous")
    (RUN / "log").touch()
    _write("record", token=token, command=command, time=time.time())
    ready, tell = os.pipe()
    if os.fork() == 0:
        os.close(ready)
        _become_supervisor(command, tell)
    os.close(tell)
    os.close(lock)  # The supervisor's copy holds it.
    os.read(ready, 1)
    return _answer({"started": token})


def _become_supervisor(command: "list[str]", tell: int) -> None:
    """Run the command in a session of our own; never return."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(RUN / "log", os.O_WRONLY | os.O_APPEND)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    try:
        code = _supervise(command, tell)
    except BaseException:
        traceback.print_exc()
        code = 127
    _write("exit", code=code)
    os._exit(0)


def _supervise(command: "list[str]", tell: int) -> int:
    """Return the exit code of the command; minus the signal that killed it."""
    stops = (
        *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1),
        *(signal.SIGUSR2, signal.SIGALRM, signal.SIGXCPU, signal.SIGPWR),
    )

    def pass_on(received: int, _: object) -> None:
        # A Python that is still importing would die of the others without a word.
        known = received in (signal.SIGTERM, signal.SIGINT)
        child.send_signal(received if known else signal.SIGTERM)

    # That of the ssh session which started us, and which we outlive.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Held back until there is a child to pass them to.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    child = subprocess.Popen(command, cwd=ROOT, preexec_fn=_prepare_child)
    for number in stops:
        signal.signal(number, pass_on)
    _write("pid", pid=os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
    os.close(tell)
    return child.wait()


def _prepare_child() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def follow(at: int) -> int:
    """Print the log from a byte on, as it grows, until the trainer has ended.

    The lines say where their text begins: whoever reads can drop what came before.
    """
    told = time.monotonic()
    while True:
        state = _state()  # Asked before reading: after the end nothing is written.
        data = _read_log(at)
        if data:
            _answer({"at": at, "text": data.decode(errors="surrogateescape")})
            at += len(data)
        elif state["state"] != "running":
            return _answer(state)
        elif time.monotonic() - told > _ALIVE_SECONDS:
            _answer({"alive": at})
        else:
            time.sleep(_PAUSE_SECONDS)
            continue
        told = time.monotonic()


def stop() -> int:
    """Ask the trainer to save and end; it runs on until it has done so."""
    state, pid = _state(), _read("pid").get("pid")
    if state["state"] != "running" or not pid:
        return _answer(state, NOT_RUNNING)
    os.kill(pid, signal.SIGTERM)
    return _answer(state)


def kill() -> int:
    """End the trainer at once: it dies with the process that watches over it."""
    state, pid = _state(), _read("pid").get("pid")
    if state["state"] == "running" and pid:
        os.kill(pid, signal.SIGKILL)
    return _answer(state)


def _state() -> dict:
    """Return what is known of the run: none, running, ended (how) or vanished."""
    record = _read("record")
    if not record:
        return {"state": "none"}
    known = {"token": record["token"], "command": record["command"]}
    lock = _try_lock(fcntl.LOCK_SH)  # So that those who look do not meet each other.
    if lock is None:
        return {"state": "running", **known}
    os.close(lock)
    ending = _read("exit")
    if not ending:  # The host rebooted, or all was killed.
        return {"state": "vanished", **known}
    return {"state": "ended", "code": ending["code"], **known}


def _read_log(at: int) -> bytes:
    try:
        with open(RUN / "log", "rb") as file:
            file.seek(at)
            return file.read(_CHUNK_BYTES)
    except FileNotFoundError:
        return b""


def _take_lock(token: str) -> "int | None":
    """Return the lock, or None when a run holds it and not just somebody who looks."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        lock = _try_lock(fcntl.LOCK_EX)
        waited = time.monotonic() > deadline
        if lock is not None or waited or _read("record").get("token") == token:
            return lock
        time.sleep(_PAUSE_SECONDS)


def _try_lock(kind: int) -> "int | None":
    lock = os.open(RUN / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _read(name: str) -> dict:
    try:
        return json.loads((RUN / name).read_text())
    except FileNotFoundError:
        return {}


def _write(name: str, **content: object) -> None:
    partial = RUN / f"{name}.partial"
    partial.write_text(json.dumps(content))
    partial.replace(RUN / name)


def _answer(content: dict, exit_code: int = 0) -> int:
    print(json.dumps(content), flush=True)
    return exit_code


def main(argv: "list[str]") -> int:
    """Run one of the commands above."""
    verb, *rest = argv[1:] or [""]
    if verb == "start" and rest[1:2] == ["--"] and rest[0].startswith("--token="):
        return start(rest[0].partition("=")[2], rest[2:])
    if verb == "follow" and len(rest) == 1 and rest[0].startswith("--at="):
        return follow(int(rest[0].partition("=")[2]))
    if verb == "status" and not rest:
        return _answer(_state())
    if verb == "stop" and not rest:
        return stop()
    if verb == "kill" and not rest:
        return kill()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    # Whoever reads may be gone; what runs does not care.
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(sys.argv))
