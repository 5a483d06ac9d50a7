"""One process makes what several need at once; the rest wait, and then use it.

The process that makes PATH holds the file `.NAME.making` beside it, which names the
process. The system releases it at any death, and then the next of those that wait
continues. On file systems without locks, and between machines that share a bucket,
nobody waits.
"""

import contextlib
import dataclasses
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from sam_pod import errors
from sam_pod.storage import files

_SUFFIX = ".making"
_TICK_SECONDS = 0.2
_TRIES = 10  # Others make and remove the same folders at the same moment.
_AGAIN_SECONDS = 60.0  # Between two lines that name the process waited for.


@dataclasses.dataclass(frozen=True)
class Caller:
    """What a process that wants a turn does meanwhile."""

    # What it raises ends the wait.
    raise_if_stopped: Callable[[], object] = lambda: None
    say: Callable[[str], object] = lambda line: None
    takes_any: bool = False  # Whether it takes what is made otherwise than it would.


@contextlib.contextmanager
def turn(path: str, what: str, caller: Caller) -> Iterator[bool]:
    """Wait until nobody else makes `path`; yield whether it is still to be made here.

    Args:
        path: The path, on the local disk, of what is made.
        what: A text that says how it is made; a process with another one is refused.
        caller: This process, as a caller.

    Raises:
        UserError: another process makes it otherwise, or has failed to make it.
    """
    missing = _missing_parents(path)
    held = _take(path, what, caller)
    if held is None:
        yield False
        return
    ending: dict[str, Any] = {}
    try:
        yield True
        ending = {"made": True}
    except errors.UserError as error:
        ending = {"failed": str(error)}
        raise
    finally:
        # After an interruption it stays as after a death: who waits goes on with it.
        if ending:
            with contextlib.suppress(OSError):
                _write(held, {**_own(what), **ending})
                os.unlink(_lock_path(path))
        held.close()
        with contextlib.suppress(OSError):  # Unless there is something in them.
            for folder in missing:
                os.rmdir(folder)


def wait(path: str, caller: Caller) -> None:
    """Return when no other process makes `path`.

    Raises:
        UserError: one did, and has failed.
    """
    try:
        file = open(_lock_path(path), "r+", encoding="utf-8")  # noqa: SIM115
    except OSError:
        return
    with file:
        _wait_for(file, path, "", dataclasses.replace(caller, takes_any=True))
        _check_made(path, _read(file))


def _take(path: str, what: str, caller: Caller) -> IO | None:
    """Return the file that is held, or None when another process has made `path`."""
    while True:
        file = _open(path)
        if file is None:
            # It cannot be written: whoever makes `path` says so better.
            return open(os.devnull, "w", encoding="utf-8")
        try:
            _wait_for(file, path, what, caller)
            if _is_at(file, _lock_path(path)):
                _write(file, _own(what))
                return file
            # The maker has ended, and the file that is gone by now says how.
            ending = _read(file)
        except BaseException:
            file.close()
            raise
        file.close()
        _check_made(path, ending)
        if ending.get("made"):
            return None


def _check_made(path: str, ending: dict[str, Any]) -> None:
    if "failed" in ending:
        raise errors.UserError(
            f"{_name(ending)}, which was making {path}, failed: {ending['failed']}"
        )


def _wait_for(file: IO, path: str, what: str, caller: Caller) -> None:
    """Return when the file is held."""
    said = None
    while not files.try_lock(file):
        now, holder = time.monotonic(), _read(file)
        if not caller.takes_any and holder.get("what", what) != what:
            raise errors.UserError(
                f"{_name(holder)} is making {path} from something else, or with other "
                "options: wait for it, or name another folder."
            )
        if holder and (said is None or now - said > _AGAIN_SECONDS):
            caller.say(
                f"{_name(holder)} is making {path} since {holder.get('since')}: "
                "waiting for it."
            )
            said = now
        caller.raise_if_stopped()
        time.sleep(_TICK_SECONDS)
    if said is not None and _is_at(file, _lock_path(path)):
        caller.say(f"{_name(_read(file))} has ended before {path} was whole.")


def _lock_path(path: str) -> str:
    folder, name = os.path.split(os.path.realpath(path))
    return os.path.join(folder, f".{name}{_SUFFIX}")


def is_lock(name: str) -> bool:
    """Return whether a file's name is that of a process that makes something."""
    return name.startswith(".") and name.endswith(_SUFFIX)


def _missing_parents(path: str) -> list[str]:
    """Return the folders above `path` that are not there, the innermost first."""
    missing, folder = [], os.path.dirname(os.path.realpath(path))
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _open(path: str) -> IO | None:
    """Return the file to hold, in a folder that is made for it, or None."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            return open(_lock_path(path), "a+", encoding="utf-8")
        # The folder may be there by now, made by another, or gone again.
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(_lock_path(path)), exist_ok=True)
    return None


def _is_at(file: IO, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _own(what: str) -> dict[str, Any]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "what": what,
    }


def _name(holder: dict[str, Any]) -> str:
    return f"Process {holder.get('process')} on {holder.get('host')}"


def _read(file: IO) -> dict[str, Any]:
    """Return what the file says; {} while it is being written."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        file.seek(0)
        content = json.loads(file.read())
        if isinstance(content, dict):
            return content
    return {}


def _write(file: IO, content: dict[str, Any]) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(content))
    file.flush()
