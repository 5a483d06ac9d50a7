"""How sharp a run is while it trains: measured every few epochs."""

from typing import TYPE_CHECKING

from absl import logging

from sam_pod.instruments import numbers
from sam_pod.instruments import subject as subject_lib
from sam_pod.instruments.plan import Plan
from sam_pod.run import execution
from sam_pod.run.session import Session

if TYPE_CHECKING:
    from sam_pod.instruments.measures import Measures


class _Stopped(Exception):
    """The run was asked to stop within a measurement."""


class Watch:
    """Measure a run's weights, as they stand, after every few epochs.

    What trains is left as it is: a run that is measured takes the same steps. The first
    measurement compiles; before it nothing is done.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._measures: Measures | None = None

    def is_due(self, epoch: int, *, is_last: bool) -> bool:
        """Return whether the weights after an epoch, counted from 1, are measured.

        Args:
            epoch: The epoch.
            is_last: The run ends with it.
        """
        every = self._session.config.sharpness.every_epochs
        return bool(every) and (is_last or epoch % every == 0)

    def measure(self, step: int) -> bool:
        """Measure and write; return False, with nothing written, if asked to stop.

        Args:
            step: The steps that are done.

        Raises:
            UserError: the model cannot be differentiated twice.
        """
        if self._measures is None:
            from sam_pod.instruments.measures import Measures  # SciPy, for few runs.

            self._measures = Measures(self._subject(), self._plan)
        self._measures.moved()
        self._session.executor.settle(self._session.state)
        try:
            found = {n: self._measures.all_of(n) for n in self._plan.measures}
        except _Stopped:
            return False
        for name, each in found.items():
            for line in numbers.lines(each):
                logging.info("step %d  sharpness, %s: %s", step, name, line)
        self._session.writer.scalars(step, numbers.scalars(found))
        return True

    @property
    def _plan(self) -> Plan:
        config = self._session.config
        return Plan(
            measures=tuple(dict.fromkeys(config.sharpness.measures.split(","))),
            examples=self._examples,
            iterations=config.sharpness.iterations,
            eigenvalues=min(Plan.eigenvalues, config.sharpness.iterations),
            m=(min(Plan.m[0], self._examples),),
            batch_size=self._batch_size,
        )

    @property
    def _batch_size(self) -> int:
        """A replica's where another executor than the steps' measures; 0 for all."""
        session = self._session
        if session.runtime.executor is None:
            return 0
        config, strategy = session.config, session.runtime.strategy
        parts = config.sam.micro_batches * config.accumulate_steps
        return config.global_batch_size // parts // strategy.num_replicas_in_sync

    @property
    def _examples(self) -> int:
        there = self._session.splits["train"].num_examples
        return min(self._session.config.sharpness.examples, there)

    def _subject(self) -> subject_lib.Subject:
        session = self._session
        return subject_lib.Subject(
            session.workdir,
            session.config,
            execution.measuring(session.runtime),
            session.float32_recipe(),
            subject_lib.part(session.splits["train"], self._examples),
            session.state.weights,
            session.state.stats,
            self._ask,
        )

    def _ask(self) -> None:
        """Raise `_Stopped` on all workers where one of them was asked to stop."""
        with self._session.bounded("Agreeing with the other workers"):
            if self._session.runtime.workers.any(self._session.stop.is_set())[0]:
                raise _Stopped
