"""The folder of a run: what is in it, and when it may be continued."""

import json
import os
import tempfile
from typing import IO, Any

import ml_collections

from sam_pod import config as config_lib
from sam_pod import errors, files

CONFIG = "config.json"
INPUTS = "inputs.json"  # Digests of the data and of the model's file.
CHECKPOINTS = "checkpoints"
RESULT = "result.json"
LOCK = ".lock"


def check(workdir: str, config: ml_collections.ConfigDict) -> None:
    """Refuse to continue a run with another config; write nothing.

    Raises:
        UserError: naming the keys that differ.
    """
    if "://" in workdir:
        raise errors.UserError(
            f"--workdir={workdir} is not on a local file system; give a local folder."
        )
    if os.path.lexists(workdir) and not os.path.isdir(workdir):
        raise errors.UserError(f"--workdir={workdir} is a file; give a folder.")
    old = _read_json(os.path.join(workdir, CONFIG))
    if old is None:
        return
    changed = config_lib.differences(old, config)
    if changed:
        listing = ", ".join(f"`{k}` was {a!r}, is {b!r}" for k, a, b in changed)
        raise errors.UserError(
            f"{workdir} holds a run with another config ({listing}): give another "
            "--workdir, or the same config to continue it."
        )


def begin(
    workdir: str, config: ml_collections.ConfigDict, inputs: dict[str, str]
) -> IO:
    """Make the folder, note the config and its inputs in it, and return its lock.

    The lock is a file: close it and another process may use the folder. The system
    closes it at any death of this one.

    Args:
        workdir: May hold a run already, with the same config.
        config: Resolved.
        inputs: By config key, the digest of what that key names.

    Raises:
        UserError: the folder cannot be written, another process uses it, or an input
            has changed.
    """
    with errors.storage(workdir):
        os.makedirs(workdir, exist_ok=True)
        lock = _lock(workdir)
        old = _read_json(os.path.join(workdir, INPUTS))
        for key, digest in inputs.items():
            if old is not None and old.get(key) != digest:
                value = config_lib.flatten(config)[key]
                raise errors.UserError(
                    f"{workdir} holds a run on another content of `{key}` than "
                    f"{value} has now: give another --workdir, or that content again."
                )
        write(os.path.join(workdir, INPUTS), json.dumps(inputs, indent=2) + "\n")
        write(os.path.join(workdir, CONFIG), config_lib.to_json(config))
    return lock


def _lock(workdir: str) -> IO:
    lock = open(os.path.join(workdir, LOCK), "w")  # noqa: SIM115
    if not files.try_lock(lock):
        lock.close()
        raise errors.UserError(
            f"Another process is running in {workdir}: wait for it, stop it, or give "
            "another --workdir."
        )
    return lock


def write(path: str, text: str) -> None:
    """Write a file so that at any moment it has its old or its new content."""
    folder = os.path.dirname(path) or "."
    handle, partial = tempfile.mkstemp(dir=folder, prefix=".partial-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def read_result(workdir: str) -> dict[str, Any] | None:
    """Return the result of a finished run, or None."""
    return _read_json(os.path.join(workdir, RESULT))


def write_result(workdir: str, result: dict[str, Any]) -> None:
    """Write the result, which ends a run.

    Raises:
        UserError: the disk is full.
    """
    with errors.storage(workdir):
        write(os.path.join(workdir, RESULT), json.dumps(result, indent=2) + "\n")


def _read_json(path: str) -> dict[str, Any] | None:
    try:
        with open(path) as file:
            content = json.load(file)
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        return content
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise errors.UserError(
            f"{path} cannot be read ({error}); mend it or give another --workdir."
        ) from error
