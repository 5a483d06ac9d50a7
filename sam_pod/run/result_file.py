"""`result.json` of a workdir: written last, and read by whoever asks how it ended."""

import json
import os
from collections.abc import Mapping
from typing import Any

from sam_pod import errors
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files


def read(workdir: str) -> dict[str, Any] | None:
    """Return the result of a finished run, or None."""
    path = os.path.join(workdir, workdir_lib.RESULT)
    found = workdir_lib.read_json(path)
    if found is None:
        return None
    asked = {"epochs", "best_epoch"} & found.keys()  # Older versions lack some.
    for key in ("test_accuracy", "test_loss", *sorted(asked)):
        if type(found.get(key)) not in (int, float):
            raise errors.UserError(
                f"{path} is not as it was written, for `{key}` in it is "
                f"{str(found.get(key, 'missing'))[:40]}: delete it, and the same "
                "command tests the run again."
            )
    return found


def write(workdir: str, result: dict[str, Any]) -> None:
    """Write the result, which ends a run.

    Raises:
        UserError: the disk is full.
    """
    with faults.explained(workdir):
        files.write(
            os.path.join(workdir, workdir_lib.RESULT),
            json.dumps(result, indent=2) + "\n",
        )


def steps_of(result: Mapping[str, Any]) -> dict[str, int]:
    """Return after how many steps a run has its 'last' weights, and had its 'best'.

    What a result does not say is left out; a run that validates on nothing has no best.
    """
    steps, epochs = result.get("steps"), result.get("epochs")
    found = {} if steps is None else {"last": steps}
    if found and epochs and result.get("best_epoch"):
        found["best"] = steps * result["best_epoch"] // epochs
    return found
