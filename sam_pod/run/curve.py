"""`curve.csv`: where a run stood after each epoch, for whoever compares runs.

The whole file is written after each validation, before the checkpoint that knows of it,
so a run that is killed and continues has each epoch once. A run that an older version
began has a line for each epoch since then.
"""

import csv
import dataclasses
import io
import os

from absl import logging

from sam_pod import errors
from sam_pod.storage import faults, files

NAME = "curve.csv"


@dataclasses.dataclass(frozen=True)
class Point:
    """Where a run stood after an epoch."""

    epoch: int
    step: int
    # Of the global batch, since the beginning; a forward pass counts a third.
    gradients: float
    seconds: float  # Of training and validation, over all sessions.
    validation_loss: float  # nan, as the accuracy, in a run that validates on nothing.
    validation_accuracy: float
    # The share of the loops' time without a batch, in the epoch's last session.
    input_wait: float


def read(workdir: str) -> list[Point]:
    """Return the points of the run in a folder; [] where there are none.

    Raises:
        ValueError: the file is not as it was written.
        OSError: it cannot be read.
    """
    text = files.read(os.path.join(workdir, NAME))
    if text is None:
        return []
    fields = dataclasses.fields(Point)
    lines = csv.DictReader(io.StringIO(text))
    if lines.fieldnames != [field.name for field in fields]:
        raise ValueError("its first line is another")
    try:
        return [Point(*(f.type(line[f.name]) for f in fields)) for line in lines]
    except TypeError as error:
        raise ValueError("a line of it is cut") from error


def read_or_forget(workdir: str) -> list[Point]:
    """Return the points; where they cannot be read, say so and return []."""
    try:
        with faults.explained(workdir, "read"):
            return read(workdir)
    except (errors.UserError, OSError, ValueError) as error:
        logging.warning(
            "%s cannot be read (%s): its lines begin again with this epoch.",
            *(os.path.join(workdir, NAME), errors.reason(error)),
        )
        return []


def write(workdir: str, points: list[Point]) -> None:
    """Write all points of a run.

    Raises:
        UserError: the disk is full.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(field.name for field in dataclasses.fields(Point))
    lines.writerows(map(dataclasses.astuple, points))
    with faults.explained(workdir):
        files.write(os.path.join(workdir, NAME), text.getvalue())


def cut(workdir: str, validated_epochs: int) -> None:
    """Delete the points after an epoch, whose steps are not done, or done again.

    A file that cannot be read stays as it is.

    Raises:
        UserError: the disk is full.
    """
    try:
        points = read(workdir)
    except (OSError, ValueError):
        return
    kept = [point for point in points if point.epoch <= validated_epochs]
    if len(kept) < len(points):
        write(workdir, kept)


def mean_wait(points: list[Point]) -> float | None:
    """Return the share of a run's time without a batch; None without a point.

    Epochs count alike, as they have the same number of steps.
    """
    if not points:
        return None
    return sum(point.input_wait for point in points) / len(points)
