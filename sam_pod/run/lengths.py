"""How long a run was to last before it was lengthened.

`lengths.json` in the workdir lists each number of epochs by which steps were taken that
are not those of a run which was to last as long as this one from the start.
"""

import json
import os
from typing import Any, NamedTuple

from sam_pod import errors
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files


class Before(NamedTuple):
    """The length of a run until a step."""

    num_epochs: int
    step: int  # The last that was taken by it.
    gradients: float  # Of the global batch, spent until then.


def read(workdir: str) -> list[Before]:
    """Return the lengths before this one, the first one first.

    Raises:
        UserError: they cannot be read.
    """
    path = os.path.join(workdir, workdir_lib.LENGTHS)
    content = workdir_lib.read_json(path)
    if content is None:
        return []
    try:
        return [
            Before(int(x["num_epochs"]), int(x["step"]), float(x["gradients"]))
            for x in content["before"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise errors.UserError(
            f"{path} cannot be read ({errors.reason(error)}): restore it, or give "
            "another --workdir."
        ) from error


def add(workdir: str, length: Before) -> None:
    """Note a length that the run has no more, if steps were taken by it.

    Raises:
        UserError: the disk is full, or those before cannot be read.
    """
    noted = read(workdir)
    if length.step > max((each.step for each in noted), default=0):
        _write(workdir, [*noted, length])


def settle(workdir: str, num_epochs: int) -> None:
    """Forget what is noted last where the run has that length again.

    The steps by it are as they should be. So are those where a kill left a note of a
    change that was not made.

    Raises:
        UserError: the disk is full, or the notes cannot be read.
    """
    noted = read(workdir)
    others = list(noted)
    while others and others[-1].num_epochs == num_epochs:
        others.pop()
    if others != noted:
        _write(workdir, others)


def _write(workdir: str, noted: list[Before]) -> None:
    content = {"before": [each._asdict() for each in noted]}
    with faults.explained(workdir):
        files.write(
            os.path.join(workdir, workdir_lib.LENGTHS),
            json.dumps(content, indent=2) + "\n",
        )


def of(workdir: str) -> dict[str, Any]:
    """Return the notes on a run, for its result."""
    return {"lengths": [each._asdict() for each in read(workdir)]}
