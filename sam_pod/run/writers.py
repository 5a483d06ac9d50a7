"""TensorBoard, through CLU's metric writers, and the progress lines of the log.

CLU imports JAX for types alone; main.py keeps JAX on the CPU so that it never takes an
accelerator from TensorFlow.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf
from absl import logging
from clu import metric_writers, parameter_overview

from sam_pod.config import keys as config_lib
from sam_pod.machines.runtime import Runtime
from sam_pod.step import metrics
from sam_pod.storage import faults, outbox


class Writer:
    """Write the metrics of a run to its workdir, on this process's own machine.

    Of several workers the chief writes; on the others every method does nothing. What
    is in a bucket is up to date after `flush` and `close`, and only then.
    """

    def __init__(self, workdir: str, runtime: Runtime) -> None:
        self._workdir = workdir
        self._runtime = runtime
        self._outbox: outbox.Outbox | None = None
        writers = []
        if runtime.workers.is_chief:
            self._outbox = outbox.Outbox(workdir)
            with self._written():
                writers.append(metric_writers.SummaryWriter(self._outbox.folder))
        self._writer = metric_writers.MultiWriter(writers)

    def setup(
        self, config: ml_collections.ConfigDict, weights: dict[str, np.ndarray]
    ) -> None:
        """Write what a run is made of: config, parameter overview, hyper-parameters."""
        overview = parameter_overview.get_parameter_overview(
            weights, include_stats=False
        )
        logging.info("Trainable parameters:\n%s", overview)
        with self._written():
            self._writer.write_texts(
                0,
                {
                    "config": _as_code(config_lib.to_json(config)),
                    "parameter_overview": _as_code(overview),
                },
            )
            self._writer.write_hparams(config_lib.flatten(config))

    def contact_sheet(self, picture: np.ndarray, labels: str) -> None:
        """Write the first examples of a run: `[H, W, 3]`, and a Markdown table."""
        with self._written():
            self._writer.write_images(0, {"train/contact_sheet": picture})
            self._writer.write_texts(0, {"train/contact_sheet_labels": labels})

    def steps(self, first_step: int, rows: np.ndarray) -> None:
        """Write one row of `metrics.TRAIN` for each step from `first_step` on."""
        with self._written():
            for step, row in enumerate(rows, start=first_step):
                self._writer.write_scalars(
                    step, dict(zip(metrics.TRAIN, row.tolist(), strict=True))
                )

    def evaluation(self, name: str, step: int, scores: metrics.Evaluation) -> None:
        """Write and log the scores of a split."""
        self.scalars(
            step, {f"{name}/loss": scores.loss, f"{name}/accuracy": scores.accuracy}
        )
        logging.info(
            "step %d  %s/loss %.4f  %s/accuracy %.4f  (%d examples)",
            step,
            name,
            scores.loss,
            name,
            scores.accuracy,
            scores.num_examples,
        )

    @contextlib.contextmanager
    def profile(self) -> Iterator[None]:
        """Trace the operations of the context for TensorBoard's profile page."""
        if not self._outbox:
            yield
            return
        logging.info("Profiling into %s.", self._workdir)
        with faults.explained(self._outbox.folder):
            tf.profiler.experimental.start(self._outbox.folder)
            try:
                yield
            finally:
                tf.profiler.experimental.stop()

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        # CLU writes through at any call, so any call can meet a full disk.
        folder = self._outbox.folder if self._outbox else self._workdir
        with self._runtime.host_scope(), faults.explained(folder):
            yield

    def _send(self) -> None:
        if self._outbox:
            with faults.explained(self._workdir):
                self._outbox.send()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write some scalars at `step`."""
        with self._written():
            self._writer.write_scalars(step, values)

    def flush(self) -> None:
        """Bring everything written so far to the disk.

        Raises:
            UserError: the disk is full.
        """
        with self._written():
            self._writer.flush()
        self._send()

    def close(self) -> None:
        """Flush and close."""
        with self._written():
            self._writer.close()
        self._send()
        if self._outbox:
            self._outbox.close()


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

    def start(self, step: int) -> None:
        """Note that the step is compiled: from here on its time tells something."""
        self._start = time.monotonic(), step
        logging.info("Compiled the step; at step %d/%d.", step, self._total_steps)

    def steps(self, step: int, row: np.ndarray, speed: Mapping[str, float]) -> None:
        """Log one line if it is time.

        Args:
            step: The last one.
            row: Its metrics.
            speed: By name, the metrics of the loop that it was in.
        """
        now = time.monotonic()
        if not self._is_due(now) and step != self._total_steps:
            return
        values: dict[str, Any] = dict(zip(metrics.TRAIN, row.tolist(), strict=True))
        logging.info(
            "step %d/%d  epoch %.1f  loss %.4f  accuracy %.3f  sharpness %.4f  "
            "lr %.2g  %.0f examples/s  input wait %.0f %%  to go %s",
            step,
            self._total_steps,
            step / self._epoch_steps,
            values["train/loss"],
            values["train/accuracy"],
            values["train/sharpness"],
            values["train/learning_rate"],
            speed[metrics.EXAMPLES_PER_SECOND],
            100 * speed[metrics.WAIT_FRACTION],
            self._time_to_go(now, step),
        )

    def evaluation(self, name: str, batch: int, num_batches: int) -> None:
        """Log how far an evaluation is, if it is time."""
        if self._is_due(time.monotonic()):
            logging.info("evaluating %s: batch %d/%d", name, batch, num_batches)

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


def _as_code(text: str) -> str:
    """Return the text as Markdown that TensorBoard shows with its line breaks."""
    return "".join(f"    {line}\n" for line in text.splitlines())
