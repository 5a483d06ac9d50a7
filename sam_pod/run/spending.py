"""What a run spends: gradients, and time without a batch."""

import math

from sam_pod.run import curve, pace
from sam_pod.step import progress as progress_lib
from sam_pod.step.recipe import Recipe


class Meter:
    """Follow a run and write a point of its curve after each validation."""

    def __init__(self, workdir: str, recipe: Recipe, *, is_chief: bool) -> None:
        self._workdir = workdir
        self._recipe = recipe
        self._is_chief = is_chief
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
            gradients=self._gradients(kept[-1:], step),
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
        return self._gradients(kept[-1:], step)

    def _gradients(self, last: list[curve.Point], step: int) -> float:
        done, spent = (last[0].step, last[0].gradients) if last else (0, 0.0)
        recipe = self._recipe
        programs = recipe.cadence.programs(recipe.variant)
        for number in range(done, step):
            spent += programs[recipe.cadence.place(recipe.variant, number)].passes
        return spent
