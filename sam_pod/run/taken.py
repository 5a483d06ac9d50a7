"""Folders that hold something else, in which no run is to begin."""

import os

from sam_pod import errors
from sam_pod.storage import faults, files

_MANIFEST = "manifest.json"
# What a file says by two of its keys, whatever version wrote it; others may have files
# of these names. What the rooms above and below call them is repeated here.
_SIGNS = (
    (_MANIFEST, {"schema_version", "splits"}, "a prepared data set"),
    (_MANIFEST, {"schema_version", "config_digest"}, "an exported run"),
    ("study.json", {"seeds", "trials"}, "a study, whose runs are in folders below it"),
)


def check(workdir: str, data_dir: str) -> None:
    """Refuse to begin a run in a folder that holds data, an export or a study.

    Args:
        workdir: A folder without a run.
        data_dir: The folder of the data that the run reads.

    Raises:
        UserError: saying what the folder holds.
    """
    what = "this run's data" if _is_same(workdir, data_dir) else _held(workdir)
    if what:
        raise errors.UserError(
            f"--workdir={workdir} holds {what}, and a run's files do not belong among "
            "them: give another --workdir, a new folder or that of a run."
        )


def _held(workdir: str) -> str:
    keys = {name: _keys(os.path.join(workdir, name)) for name, _, _ in _SIGNS}
    found = (what for name, sign, what in _SIGNS if sign <= keys[name])
    return next(found, "")


def _keys(path: str) -> set[str]:
    """Return the keys of a file's object; none where there is no file, or another."""
    try:
        with faults.explained(path, "read"):
            value = files.parse_json(files.read_bytes(path) or b"")
    except (OSError, ValueError):
        return set()
    return set(value) if isinstance(value, dict) else set()


def _is_same(one: str, other: str) -> bool:
    if files.is_remote(one) or files.is_remote(other):
        return one.rstrip("/") == other.rstrip("/")
    return os.path.realpath(one) == os.path.realpath(other)
