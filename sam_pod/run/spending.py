"""What a run spends: gradients, and time without a batch.

`spent.json` in the workdir has what was spent before the last change of the steps on
which the member acts, which comes with another number of epochs.
"""

import json
import math
import os
from typing import NamedTuple

from sam_pod import errors
from sam_pod.run import curve, pace
from sam_pod.run import workdir as workdir_lib
from sam_pod.sam.variant import Variant
from sam_pod.step import progress as progress_lib
from sam_pod.step.cadence import Cadence
from sam_pod.storage import faults, files


class Spent(NamedTuple):
    """What a run had spent when it had made so many steps."""

    step: int
    gradients: float  # Of the global batch.


def note(workdir: str, spent: Spent) -> None:
    """Note what a run has spent by rules that no longer hold.

    Raises:
        UserError: the disk is full.
    """
    with faults.explained(workdir):
        files.write(
            os.path.join(workdir, workdir_lib.SPENT), json.dumps(spent._asdict()) + "\n"
        )


def _noted(workdir: str) -> list[Spent]:
    """Return the note, in a list; [] for none.

    Raises:
        UserError: it cannot be read.
    """
    path = os.path.join(workdir, workdir_lib.SPENT)
    content = workdir_lib.read_json(path)
    if content is None:
        return []
    try:
        return [Spent(int(content["step"]), float(content["gradients"]))]
    except (KeyError, TypeError, ValueError) as error:
        raise errors.UserError(
            f"{path} holds no step and gradients: restore it, or remove it, and the "
            "gradients of all steps are counted by the config."
        ) from error


class Meter:
    """Follow a run and write a point of its curve after each validation."""

    def __init__(
        self, workdir: str, variant: Variant, cadence: Cadence, *, is_chief: bool
    ) -> None:
        """Read what is noted.

        Args:
            workdir: The run's folder.
            variant: The member of its steps.
            cadence: When that acts.
            is_chief: Whether this worker writes.

        Raises:
            UserError: it cannot be read.
        """
        self._workdir = workdir
        self._variant = variant
        self._cadence = cadence
        self._is_chief = is_chief
        self._noted = _noted(workdir) if is_chief else []
        self._points: list[curve.Point] | None = None
        self._seconds = self._waited = 0.0  # Of this epoch's loops.

    def waited(self, ran: pace.Ran) -> None:
        """Note how long a loop that did not compile took, and waited."""
        seconds = len(ran.rows) / ran.steps_per_second
        self._seconds += seconds
        self._waited += seconds * ran.wait_fraction

    def validated(
        self, record: progress_lib.Progress, step: int, seconds: float
    ) -> None:
        """Write where the run stands.

        Args:
            record: The record of the validation, with this epoch's.
            step: The number of steps done.
            seconds: The time of training so far.

        Raises:
            UserError: the disk is full.
        """
        if not self._is_chief:
            return
        if self._points is None:
            self._points = curve.read_or_forget(self._workdir)
        epoch = int(record.validated_epochs)
        # What a killed run wrote after its last checkpoint is written again.
        kept = [p for p in self._points if p.epoch < epoch and p.step < step]
        point = curve.Point(
            epoch=epoch,
            step=step,
            gradients=self._gradients(kept, step),
            seconds=round(seconds, 3),
            validation_loss=record.last_loss if record.best_epoch else math.nan,
            validation_accuracy=record.last_accuracy if record.best_epoch else math.nan,
            input_wait=round(self._waited / self._seconds, 4) if self._seconds else 0.0,
        )
        self._points = [*kept, point]
        self._seconds = self._waited = 0.0
        curve.write(self._workdir, self._points)

    def points(self) -> list[curve.Point]:
        """Return the points of the run so far; [] on workers that write nothing."""
        if self._points is None:
            self._points = curve.read_or_forget(self._workdir)
        return self._points

    def total_gradients(self, step: int) -> float:
        """Return the gradients of a run that has made so many steps."""
        kept = [point for point in self.points() if point.step <= step]
        return self._gradients(kept, step)

    def _gradients(self, points: list[curve.Point], step: int) -> float:
        known = [Spent(0, 0.0), *(Spent(p.step, p.gradients) for p in points)]
        known += [spent for spent in self._noted if spent.step <= step]
        done, spent = max(known)
        programs = self._cadence.programs(self._variant)
        for number in range(done, step):
            spent += programs[self._cadence.place(self._variant, number)].passes
        return spent
