"""The model's file as a run found it, kept in the run's own folder."""

import os

from sam_pod.models import model_file
from sam_pod.storage import faults, files

# It is not what was trained: a checkpoint has that, and an export.
_NAMES = {model_file.KERAS: "initial.keras", model_file.H5: "initial.h5"}


def write(workdir: str, file: model_file.ModelFile) -> None:
    """Keep a copy, whole or not at all, if there is none.

    Raises:
        UserError: the disk is full.
    """
    path = os.path.join(workdir, _NAMES[file.kind])
    with faults.explained(workdir):
        if not files.exists(path) or files.size(path) != len(file.content):
            files.write_bytes(path, file.content)


def find(workdir: str, digest: str) -> str:
    """Return the path of the copy that has this digest; '' where there is none."""
    for name in _NAMES.values():
        path = os.path.join(workdir, name)
        with faults.explained(path, "read"):
            content = files.read_bytes(path)
        if content and model_file.sha256(content) == digest:
            return path
    return ""
