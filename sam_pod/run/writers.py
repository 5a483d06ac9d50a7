"""TensorBoard, through CLU's metric writers, and the progress lines of the log.

CLU imports JAX for types alone; `command.set_environment` keeps JAX on the CPU, so that
it never takes an accelerator from TensorFlow. The import takes a second or two, so it
happens at the first writing, which comes after the first step.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ml_collections
import numpy as np
from absl import logging

from sam_pod.config import keys as config_lib
from sam_pod.machines.runtime import Runtime
from sam_pod.run import event_files, execution, row_events
from sam_pod.step import metrics
from sam_pod.storage import faults, files, outbox

if TYPE_CHECKING:
    from clu import metric_writers


class Writer:
    """Write the metrics of a run to its workdir, on this process's own machine.

    With several workers the chief writes; on the others every method does nothing.
    Files in a bucket are up to date after `flush` and `close`, and only then.
    """

    def __init__(self, workdir: str, runtime: Runtime) -> None:
        self._workdir = workdir
        self._runtime = runtime
        self._outbox: outbox.Outbox | None = None
        self._of_many: Callable[[np.ndarray, int], None] | None = None
        if runtime.workers.is_chief:
            self._outbox = outbox.Outbox(workdir)
            with self._written():
                files.make_folders(self._outbox.folder)

    @functools.cached_property
    def _writer(self) -> "metric_writers.MultiWriter":
        from clu import metric_writers  # Heavy: see above.

        folders = [self._outbox.folder] if self._outbox else []
        return metric_writers.MultiWriter(map(metric_writers.SummaryWriter, folders))

    def _many(self, more: Sequence[str]) -> Callable[[np.ndarray, int], None]:
        if self._of_many is None:  # A run has one recipe.
            (own,) = self._writer._writers
            self._of_many = row_events.writing(
                own._summary_writer, (*metrics.TRAIN, *more), len(metrics.TRAIN)
            )
        return self._of_many

    @property
    def _has_written(self) -> bool:
        return "_writer" in vars(self)

    def setup(
        self, config: ml_collections.ConfigDict, weights: dict[str, np.ndarray]
    ) -> None:
        """Write the description of a run: config, parameters, hyper-parameters."""
        from clu import parameter_overview  # Heavy: see above.

        overview = parameter_overview.get_parameter_overview(
            weights, include_stats=False
        )
        logging.info("Trainable parameters:\n%s", overview)
        with self._written():
            texts = {
                "config": _as_code(config_lib.to_json(config)),
                "parameter_overview": _as_code(overview),
            }
            _put(self._writer.write_texts, 0, texts)
            self._writer.write_hparams(config_lib.flatten(config))

    def contact_sheet(self, picture: np.ndarray, labels: str) -> None:
        """Write the first examples of a run: `[H, W, 3]`, and a Markdown table."""
        with self._written():
            _put(self._writer.write_images, 0, {"train/contact_sheet": picture})
            _put(self._writer.write_texts, 0, {"train/contact_sheet_labels": labels})

    def images(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Write pictures at `step`, uint8 `[H, W, 3]`."""
        batches = {name: picture[None] for name, picture in pictures.items()}
        with self._written():
            _put(self._writer.write_images, step, batches)

    def steps(
        self, first_step: int, rows: np.ndarray, more: Sequence[str] = ()
    ) -> None:
        """Write one row of `metrics.TRAIN`, and of `more`, for each step."""
        event_files.check_own(more)
        with self._written():
            if self._outbox and len(rows) >= row_events.MANY:
                self._many(more)(rows, first_step)
                return
            for step, row in enumerate(rows, start=first_step):
                _put(self._writer.write_scalars, step, metrics.named(row, more))

    def evaluation(self, name: str, step: int, scores: metrics.Evaluation) -> None:
        """Write and log the scores of a split."""
        by_name = {
            f"{name}/{metric}": value for metric, value in scores.by_name().items()
        }
        self.scalars(step, by_name)
        found = "  ".join(f"{metric} {value:.4f}" for metric, value in by_name.items())
        logging.info("step %d  %s  (%d examples)", step, found, scores.num_examples)

    @contextlib.contextmanager
    def profile(self) -> Iterator[None]:
        """Trace the operations of the context for TensorBoard's profile page."""
        if not self._outbox:
            yield
            return
        logging.info("Profiling into %s.", self._workdir)
        executor, folder = execution.of(self._runtime), self._outbox.folder
        with faults.explained(folder), executor.traced(folder):
            yield

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
            _put(self._writer.write_scalars, step, values)

    def flush(self) -> None:
        """Bring everything written so far to the disk.

        Raises:
            UserError: the disk is full.
        """
        if self._has_written:
            with self._written():
                self._writer.flush()
            self._send()

    def close(self) -> None:
        """Flush and close."""
        if self._has_written:
            with self._written():
                self._writer.close()
            self._send()
        if self._outbox:
            self._outbox.close()


def _put(
    write: Callable[[int, Mapping[str, Any]], None],
    step: int,
    values: Mapping[str, Any],
) -> None:
    """Write by CLU, under tags by which a run that continues knows its own file."""
    event_files.check_own(values)
    write(step, values)


def _as_code(text: str) -> str:
    """Return the text as Markdown that TensorBoard shows with its line breaks."""
    return "".join(f"    {line}\n" for line in text.splitlines())
