"""Which runs a study needs, and which value of a sweep is chosen.

A value is chosen by validation at the last epoch alone. What the test says of the other
values is not read.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from sam_pod.study import found as found_lib
from sam_pod.study import plan, trials

Look = Callable[[trials.Run], found_lib.Found]
IsOver = Callable[[found_lib.Found], bool]


@dataclasses.dataclass(frozen=True)
class Tried:
    """A value of a sweep, with what its runs say on validation."""

    trial: trials.Trial
    runs: tuple[found_lib.Found, ...]

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracies at the last epoch, of the runs that are finished."""
        return [f.result["final_validation_accuracy"] for f in self._finished()]

    @property
    def losses(self) -> list[float]:
        """Validation losses likewise."""
        return [f.result["final_validation_loss"] for f in self._finished()]

    def _finished(self) -> list[found_lib.Found]:
        return [f for f in self.runs if f.state == found_lib.FINISHED]

    @property
    def is_whole(self) -> bool:
        """Whether all its runs are finished."""
        return len(self._finished()) == len(self.runs)


@dataclasses.dataclass(frozen=True)
class Arm:
    """An arm with what is decided of it."""

    name: str
    tried: tuple[Tried, ...]  # () where nothing is swept.
    chosen: trials.Trial | None  # None while trials are left to run, or if none ends.


def arms(
    study: plan.Study,
    by_arm: dict[str, list[trials.Trial]],
    look: Look,
    is_over: IsOver,
) -> list[Arm]:
    """Return the arms.

    Args:
        study: The study.
        by_arm: The trials of each arm.
        look: Returns what is there of a run.
        is_over: Whether nothing of a run will be tried any more.
    """
    return [
        _arm(study, name, candidates, look, is_over)
        for name, candidates in by_arm.items()
    ]


def _arm(
    study: plan.Study,
    name: str,
    candidates: Sequence[trials.Trial],
    look: Look,
    is_over: IsOver,
) -> Arm:
    if len(candidates) == 1:
        return Arm(name, (), candidates[0])
    tried = tuple(
        Tried(trial, tuple(look(trials.Run(trial, s)) for s in study.trial_seeds))
        for trial in candidates
    )
    whole = [each for each in tried if each.is_whole]
    if not whole or not all(is_over(run) for each in tried for run in each.runs):
        return Arm(name, tried, None)
    return Arm(name, tried, max(whole, key=lambda t: _merit(study.metric, t)).trial)


def _merit(metric: str, tried: Tried) -> tuple[float, float]:
    """Return what the best value has most of; where that is equal, the other metric."""
    accuracy, loss = float(np.mean(tried.accuracies)), float(np.mean(tried.losses))
    return (accuracy, -loss) if metric == "accuracy" else (-loss, accuracy)


def needed(study: plan.Study, decided: Sequence[Arm]) -> list[trials.Run]:
    """Return the runs that the study needs as far as it is decided, in their order.

    Seeds come one after the other, so that what is there can be compared in pairs.
    """
    first = [
        trials.Run(each.trial, seed)
        for arm in decided
        for seed in study.trial_seeds
        for each in arm.tried
    ]
    rest = [
        trials.Run(arm.chosen, seed)
        for seed in study.seeds
        for arm in decided
        if arm.chosen is not None
    ]
    return list({run.name: run for run in (*first, *rest)}.values())
