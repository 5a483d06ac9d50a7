"""The folder of a run: what is in it, and when it may be continued."""

import contextlib
import itertools
import json
import os
from collections.abc import Callable
from typing import IO, Any

import ml_collections
from absl import logging

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.models import model_copy, model_file
from sam_pod.run import checkpoint_folder, digests, taken
from sam_pod.storage import faults, files

CONFIG = "config.json"
INPUTS = "inputs.json"  # Digests of the data and of the model's file.
INITIAL_WEIGHTS = "initial_weights.json"  # What was taken of those that were named.
DECISIONS = "decisions.json"  # What the run decided by itself, by config key.
CHECKPOINTS = "checkpoints"
RESULT = "result.json"
REPLICAS = "replicas.json"  # How the run is spread; see continuing.py.
LENGTHS = "lengths.json"  # How long it was to last before; see lengths.py.
LOCK = ".lock"


def check(
    workdir: str,
    config: ml_collections.ConfigDict,
    accepted: frozenset[str] = frozenset(),
) -> None:
    """Refuse to continue a run with another config; write nothing.

    Args:
        workdir: A folder that may hold a run.
        config: The resolved config.
        accepted: The accepted changes, some of `keys.ACCEPTABLE`.

    Raises:
        UserError: naming the keys that differ, or that this version does not know; or
            the folder holds something else.
    """
    files.check_scheme(workdir, "--workdir", to_write=True)
    with faults.explained(workdir, "list"):
        if files.exists(workdir) and not files.is_folder(workdir):
            raise errors.UserError(f"--workdir={workdir} is a file; give a folder.")
    path = os.path.join(workdir, CONFIG)
    content = read_json(path)
    if content is None:
        taken.check(workdir, config.data.dir)
        _check_no_checkpoints(workdir)
        return
    # A run of an older version lacks newer keys, whose defaults say what it did.
    old = config_lib.lay_over_defaults(content, path)
    inputs = read_json(os.path.join(workdir, INPUTS)) or {}
    free = set(accepted)
    if "replicas" in accepted or files.exists(os.path.join(workdir, REPLICAS)):
        # What they come to is compared once this process is connected.
        free |= config_lib.PLACE_KEYS
    changed = [
        (key, before, now)
        for key, before, now in config_lib.differences(old, config)
        if key not in free and not digests.is_same(key, now, inputs)
    ]
    if changed:
        raise _another_config(workdir, changed)


def _check_no_checkpoints(workdir: str) -> None:
    found = checkpoint_folder.paths(os.path.join(workdir, CHECKPOINTS))
    if found:
        last = os.path.basename(found[-1])
        raise errors.UserError(
            f"{workdir} holds {CHECKPOINTS}/{last} and no {CONFIG}, so that nothing "
            "says what run it is of: put that file back, or give another --workdir."
        )


def _another_config(
    workdir: str, changed: list[tuple[str, Any, Any]]
) -> errors.UserError:
    """Return what to say of keys that differ: (key, before, now) of each."""
    keys = {key for key, _, _ in changed}
    way = ""
    if keys <= set(config_lib.ACCEPTABLE):
        way = f" To accept the change, add --accept_change={','.join(sorted(keys))}."
    listing = ", ".join(f"`{k}` was {a!r}, is {b!r}" for k, a, b in changed)
    return errors.UserError(
        f"{workdir} holds a run with another config ({listing}): give another "
        f"--workdir, or the same config to continue it.{way}"
    )


def make_new(path: str) -> str:
    """Make a folder that no other run has, and return its name: `path`, or `path`-2.

    Raises:
        UserError: it cannot be made.
    """
    with faults.explained(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        for number in itertools.count(1):
            name = path if number == 1 else f"{path}-{number}"
            # Who makes it has it, on any file system and whatever the time.
            with contextlib.suppress(FileExistsError):
                os.mkdir(name)
                return name


def drop_empty(workdir: str) -> None:
    """Remove a folder that `make_new` has made, if nothing was written to it."""
    with contextlib.suppress(OSError):
        os.rmdir(workdir)


def locate(
    workdir: str, config: ml_collections.ConfigDict, *, own_first: bool = False
) -> ml_collections.ConfigDict:
    """Return the config with `model.name` where the run's model can be read.

    That is the path in the config, or the copy in the run's folder where nothing is
    there any more.

    Args:
        workdir: The run's folder, which may be new.
        config: The resolved config.
        own_first: Whether to take the run's copy if there is one.

    Raises:
        UserError: the folder or the path cannot be asked.
    """
    name = config.model.name
    if not model_file.is_path(name):
        return config
    digest = (read_json(os.path.join(workdir, INPUTS)) or {}).get("model.name")
    old = read_json(os.path.join(workdir, CONFIG)) or {}
    if not digest or not (
        own_first or config_lib.flatten(old).get("model.name") == name
    ):
        return config
    if not own_first and model_file.is_there(name):
        return config
    copy = model_copy.find(workdir, digest)
    if not copy:
        return config
    if not own_first:
        logging.info("%s is gone: taking the run's own copy, %s.", name, copy)
    found = config.copy_and_resolve_references()
    found.model.name = copy
    return found


def read_config(workdir: str) -> ml_collections.ConfigDict:
    """Return the config of the run in a folder.

    Raises:
        UserError: there is no run, or its config cannot be read.
    """
    files.check_scheme(workdir, "--workdir")
    path = os.path.join(workdir, CONFIG)
    content = read_json(path)
    if content is None:
        raise errors.UserError(
            f"--workdir={workdir} holds no run, for it has no {CONFIG}: give the "
            "folder of one."
        )
    return config_lib.lay_over_defaults(content, path)


def check_inputs(
    workdir: str,
    config: ml_collections.ConfigDict,
    inputs: dict[str, str],
    *,
    trains: bool = True,
) -> None:
    """Refuse inputs that are not those of the run in the folder, if there is one.

    Args:
        workdir: The run's folder.
        config: The resolved config.
        inputs: The digest of what a config key names, by key.
        trains: Whether the command trains, and may do so in another folder; else it
            reads the run in this one.

    Raises:
        UserError: naming the key.
    """
    old = read_json(os.path.join(workdir, INPUTS))
    for key, digest in inputs.items():
        if old is not None and old.get(key) != digest:
            value = config_lib.flatten(config)[key]
            raise errors.UserError(
                f"{workdir} holds a run on another content of `{key}` than "
                f"{value} has now: {digests.remedy(key, trains=trains)}."
            )


def read_decisions(workdir: str) -> dict[str, Any] | None:
    """Return the decisions of the run in a folder by config key; None without a run.

    A missing key was not decided by the version that began the run.
    """
    if read_json(os.path.join(workdir, CONFIG)) is None:
        return None
    return read_json(os.path.join(workdir, DECISIONS)) or {}


def begin(
    workdir: str,
    config: ml_collections.ConfigDict,
    inputs: dict[str, str],
    model: model_file.ModelFile | None = None,
    decisions: dict[str, Any] | None = None,
    first: Callable[[], None] = lambda: None,
) -> IO:
    """Make the folder, note the config and its inputs in it, and return its lock.

    Close the lock, a file, and another process may use the folder; the system does at
    any death of this one. In a bucket there is none, and two processes of one run would
    disturb each other.

    Args:
        workdir: A folder that may hold a run already, with the same config.
        config: The resolved config.
        inputs: The digest of what a config key names, by key.
        model: The model's file, of which the run keeps a copy.
        decisions: The decisions where the config leaves them open, by config key.
        first: A function that refuses what another process may have made of the
            folder, and notes what the config replaces: called with the lock, before
            anything is written, so that a kill in between loses nothing.

    Raises:
        UserError: the folder cannot be written, another process uses it, or an input
            has changed.
    """
    with faults.explained(workdir):
        files.make_folders(workdir)
        files.check_rights(workdir)
        lock = _lock(workdir)
        try:
            check_inputs(workdir, config, inputs)
            first()
            _note(workdir, config, inputs, model, decisions)
        except BaseException:
            lock.close()
            raise
    return lock


def _note(
    workdir: str,
    config: ml_collections.ConfigDict,
    inputs: dict[str, str],
    model: model_file.ModelFile | None,
    decisions: dict[str, Any] | None,
) -> None:
    if decisions:
        text = json.dumps(decisions, indent=2, sort_keys=True) + "\n"
        files.write(os.path.join(workdir, DECISIONS), text)
    if model:
        model_copy.write(workdir, model)
    files.write(os.path.join(workdir, INPUTS), json.dumps(inputs, indent=2) + "\n")
    files.write(os.path.join(workdir, CONFIG), config_lib.to_json(config))


def _lock(workdir: str) -> IO:
    lock = files.lock(os.path.join(workdir, LOCK))
    if lock is None:
        raise errors.UserError(
            f"Another process is running in {workdir}: wait for it, stop it, or give "
            "another --workdir."
        )
    return lock


def read_json(path: str) -> dict[str, Any] | None:
    """Return the object in a file of a workdir; None where there is no file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        with faults.explained(path, "read"):
            text = files.read(path)
        if text is None:
            return None
        content = files.parse_json(text)
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        return content
    except (errors.UserError, faults.StorageLost):
        raise
    except (OSError, ValueError) as error:
        raise errors.UserError(
            f"{path} cannot be read ({error}); fix it or give another --workdir."
        ) from error
