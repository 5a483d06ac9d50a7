"""Lines of progress in the log."""

import time
from collections.abc import Mapping

import numpy as np
from absl import logging

from sam_pod import wording
from sam_pod.step import metrics, progress


class ProgressLog:
    """Log where the run stands every few seconds, with a time to go."""

    def __init__(
        self, every_seconds: float, total_steps: int, epoch_steps: int
    ) -> None:
        self._every_seconds = every_seconds
        self._total_steps = total_steps
        self._epoch_steps = epoch_steps
        self._last_line = time.monotonic()
        self._start: tuple[float, int] | None = None

    def compiling(self, num_parameters: int) -> None:
        """Log why the next line takes long."""
        logging.info("Compiling the step: %d trainable parameters.", num_parameters)

    def compiled(self, step: int) -> None:
        """Log the first step of this process, which is the last one done."""
        logging.info("Compiled the step; at step %d/%d.", step, self._total_steps)

    def start(self, step: int) -> None:
        """Note that steps follow each other from now on, so that their time counts."""
        self._start = time.monotonic(), step

    def steps(self, step: int, rows: np.ndarray, speed: Mapping[str, float]) -> None:
        """Log one line if it is time.

        Args:
            step: The last step.
            rows: The metrics of the loop's steps. The sharpness is that of the last
                one with an ascent.
            speed: The metrics of the step's loop, by name.
        """
        now = time.monotonic()
        if not self._is_due(now) and step != self._total_steps:
            return
        rows = rows[:, : len(metrics.TRAIN)]
        values = metrics.named(rows[-1])
        acting = rows[rows[:, metrics.TRAIN.index("train/rho")] > 0]
        sharpness = metrics.named(acting[-1] if len(acting) else rows[-1])
        logging.info(
            "step %d/%d  epoch %.1f  loss %.4f  accuracy %.3f  sharpness %.4f  "
            "lr %.2g  %.0f examples/s  input wait %.0f %%  to go %s",
            step,
            self._total_steps,
            step / self._epoch_steps,
            values["train/loss"],
            values["train/accuracy"],
            sharpness["train/sharpness"],
            values["train/learning_rate"],
            speed[metrics.EXAMPLES_PER_SECOND],
            100 * speed[metrics.WAIT_FRACTION],
            self._time_to_go(now, step),
        )

    def evaluation(self, name: str, batch: int, num_batches: int) -> None:
        """Log how far an evaluation is, if it is time."""
        if self._is_due(time.monotonic()):
            logging.info("evaluating %s: batch %d/%d", name, batch, num_batches)

    def stopped_early(self, record: progress.Progress, num_epochs: int) -> None:
        """Log why the run ends before its last epoch."""
        since = int(record.validated_epochs - record.best_epoch)
        logging.info(
            "Early stopping after epoch %d of %d: the validation loss was lowest in "
            "epoch %d, %s ago.",
            *(int(record.validated_epochs), num_epochs, int(record.best_epoch)),
            wording.counted(since, "epoch", "epochs"),
        )

    def tested_best(self, epoch: int, last_accuracy: float) -> None:
        """Log of which weights the test's figures are, where not of the last ones."""
        logging.info(
            "These are of the weights of epoch %d, the best by validation loss; the "
            "last ones have test/accuracy %.4f.",
            *(epoch, last_accuracy),
        )

    def _is_due(self, now: float) -> bool:
        if now - self._last_line < self._every_seconds:
            return False
        self._last_line = now
        return True

    def _time_to_go(self, now: float, step: int) -> str:
        since, first_step = self._start or (now, step)
        if step == first_step:
            return "unknown yet"
        seconds = (now - since) / (step - first_step) * (self._total_steps - step)
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"
