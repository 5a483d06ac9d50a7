"""A folder in a bucket that appears whole: made on the local disk, then copied.

Its manifest is copied last, and until then a marker says that the folder is not whole:
the files that an interrupted copy has left are written again.
"""

import contextlib
import hashlib
import os
import tempfile

from sam_pod import errors
from sam_pod.storage import faults, files

LAST = "manifest.json"
_MARKER = ".incomplete"


def local(output: str) -> str:
    """Return the local folder in which `output` is made: the same one at each attempt.

    Under TMPDIR, which must have the space for all of it.
    """
    name = hashlib.sha256(output.rstrip("/").encode()).hexdigest()[:16]
    return os.path.join(tempfile.gettempdir(), f"sam_pod-{name}.partial")


def check(output: str) -> str:
    """Return the name of a remote folder that can be written, without a last slash.

    Raises:
        UserError: it cannot, or there is something in it.
    """
    files.check_scheme(output, "`output`", to_write=True)
    output = output.rstrip("/")
    with faults.explained(output, "list"):
        if not _names_of_interrupted(output):
            files.check_rights(output)
    return output


def _names_of_interrupted(output: str) -> list[str]:
    """Return what an interrupted copy has left; raise where there is anything else."""
    names = files.names(output)
    if names and _MARKER not in names:
        raise errors.UserError(
            f"`output` {output} already holds files; name a new folder, or delete this "
            "one first."
        )
    return names


def send(folder: str, output: str) -> None:
    """Copy a local folder to `output`, as a whole or not at all.

    Raises:
        UserError: a right is missing, or somebody has written there meanwhile.
        StorageLost: the service does not answer; the local folder stays as it is.
    """
    with faults.explained(output):
        if _names_of_interrupted(output):
            files.remove_folder(output)
        files.make_folders(output)
        files.write(f"{output}/{_MARKER}", "This folder is being written.\n")
        try:
            for name in _names(folder):
                files.upload(os.path.join(folder, name), f"{output}/{name}")
            files.remove(f"{output}/{_MARKER}")
        except BaseException:
            # What cannot be cleared away has the marker.
            with contextlib.suppress(Exception):
                files.remove_folder(output)
            raise


def _names(folder: str) -> list[str]:
    """Return all files in a folder but hidden ones, which are for a later attempt."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.relpath(os.path.join(parent, name), folder) for name in names]
    return sorted(found, key=lambda name: (name == LAST, name))
