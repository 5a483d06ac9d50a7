"""When a run is saved: after a validation, every so often, and when it has to stop."""

import dataclasses
import time

from sam_pod.process import signals
from sam_pod.run.session import Session
from sam_pod.step import progress


class Saver:
    """Saves a run while it trains, and knows when that is due."""

    def __init__(self, session: Session, record: progress.Progress) -> None:
        """Start the clocks.

        Args:
            session: The run's session.
            record: The record of the validation as it was restored.
        """
        self._session = session
        self._started = time.monotonic() - record.seconds
        self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time of training and validation, over all sessions of the run."""
        return time.monotonic() - self._started

    def save(self, record: progress.Progress) -> None:
        """Save where the run stands.

        Raises:
            UserError: the disk is full.
        """
        session = self._session
        # Metrics first: no checkpoint may know of steps that TensorBoard lacks.
        session.writer.flush()
        with session.bounded("Saving"):
            self._settle(record)
            session.checkpoints.save()
        self._saved = time.monotonic()

    def save_best(self, record: progress.Progress) -> None:
        """Save the weights as the best so far.

        Args:
            record: That of the validation which says so.

        Raises:
            UserError: the disk is full.
        """
        with self._session.bounded("Saving"):
            self._settle(record)
            self._session.checkpoints.save_best()

    def _settle(self, record: progress.Progress) -> None:
        """Have the state be what the run has come to."""
        session = self._session
        now = dataclasses.replace(record, seconds=self.seconds)
        session.executor.settle(session.state)
        session.state.write_progress(now)

    def save_if_due_or_stopped(self, record: progress.Progress) -> None:
        """Save when it is time on the chief, or when any worker has to stop.

        Raises:
            Interrupted: after saving, when asked to stop.
            UserError: the disk is full.
        """
        session, workers = self._session, self._session.runtime.workers
        passed = time.monotonic() - self._saved
        is_due = passed >= session.config.checkpoint.every_seconds
        with session.bounded("Agreeing with the other workers"):
            stops, saves = workers.any(
                session.stop.is_set(), workers.is_chief and is_due
            )
        if stops or saves:
            self.save(record)
        if stops:
            wait_for_all(session)
            raise signals.Interrupted


def wait_for_all(session: Session) -> None:
    """Return when everything is on the disk and every worker knows it."""
    with session.bounded("Waiting for the last save"):
        session.checkpoints.wait()
        session.runtime.workers.barrier()
