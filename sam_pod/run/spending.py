"""What a run spends: gradients, and time without a batch."""

import math

from sam_pod.run import curve, lengths, pace
from sam_pod.sam.variant import Variant
from sam_pod.step import progress as progress_lib
from sam_pod.step.cadence import Cadence


class Meter:
    """Follow a run and write a point of its curve after each validation."""

    def __init__(
        self, workdir: str, variant: Variant, cadence: Cadence, *, is_chief: bool
    ) -> None:
        """Read what is noted of a time when the member acted on other steps.

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
        self._before = lengths.read(workdir) if is_chief else []
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
        known = [(0, 0.0), *((p.step, p.gradients) for p in points)]
        known += [(b.step, b.gradients) for b in self._before if b.step <= step]
        done, spent = max(known)
        programs = self._cadence.programs(self._variant)
        for number in range(done, step):
            spent += programs[self._cadence.place(self._variant, number)].passes
        return spent
