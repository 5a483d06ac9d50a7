"""The figures of a study: per arm, in pairs, by seed, and what is missing."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from sam_pod.data.stored import wrong_labels
from sam_pod.study import alike, choice, measured, plan, statistics, trials
from sam_pod.study import found as found_lib

# How much more than the baseline an arm may spend and still count as equal.
_EQUAL_GRADIENTS = 0.02


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of a run."""

    key: str
    name: str
    of: Callable[[found_lib.Found], float | None]
    scale: float = 1.0
    digits: int = 4
    unit: str = ""


def _tested(which: str, name: str) -> Callable[[found_lib.Found], float | None]:
    def of(found: found_lib.Found) -> float | None:
        scores = found.result.get("test_with")
        if scores is None:  # Of an older version: one pair of weights was tested.
            config = found.run.trial.config
            is_best = config.early_stopping.restore_best_weights
            own = "best" if is_best else "last"
            return found.result.get(f"test_{name}") if which == own else None
        return scores.get(which, {}).get(name)

    return of


def _result(key: str) -> Callable[[found_lib.Found], float | None]:
    return lambda found: found.result.get(key)


PRIMARY = Measure(
    "last_accuracy",
    "test accuracy, last epoch",
    _tested("last", "accuracy"),
    100,
    2,
    "%",
)
COMPARED = (
    PRIMARY,
    Measure("last_loss", "test loss, last epoch", _tested("last", "loss")),
    Measure(
        "best_accuracy",
        "test accuracy, best validation",
        _tested("best", "accuracy"),
        100,
        2,
        "%",
    ),
    Measure("best_loss", "test loss, best validation", _tested("best", "loss")),
)
SPENT = (
    Measure("gradients", "gradients", _result("gradients"), 1, 0),
    Measure("seconds", "seconds", _result("seconds"), 1, 0),
    Measure("input_wait", "input wait", _result("input_wait"), 100, 1, "%"),
)


@dataclasses.dataclass(frozen=True)
class Arm:
    """The figures of an arm."""

    name: str
    trial: trials.Trial | None  # The chosen one.
    runs: tuple[found_lib.Found, ...]  # Of each seed.
    means: Mapping[str, statistics.Mean]  # By the key of a measure.
    by_seed: Mapping[str, Mapping[int, float]]
    sharpness: Mapping[str, statistics.Mean]  # By the path of a number in the files.
    is_baseline: bool
    # The gradients over the baseline's, where they are not equal; else None.
    unequal: float | None = None


@dataclasses.dataclass(frozen=True)
class Pair:
    """An arm compared with the baseline by one measure, over the seeds of both."""

    arm: str
    measure: Measure
    paired: statistics.Paired
    p_holm: float  # Over the arms.


@dataclasses.dataclass(frozen=True)
class Summary:
    """All that a report shows."""

    study: plan.Study
    arms: tuple[Arm, ...]
    pairs: tuple[Pair, ...]
    sweeps: tuple[choice.Arm, ...]
    not_finished: tuple[found_lib.Found, ...]
    notes: tuple[str, ...]
    measured_how: tuple[str, ...]  # What the instruments say of their figures.


def of(study: plan.Study, decided: Sequence[choice.Arm], look: choice.Look) -> Summary:
    """Return the figures of what is there of a study."""
    arms = _compared([_arm(study, arm, look) for arm in decided])
    sweeps = tuple(arm for arm in decided if arm.tried)
    runs = {f.run.name: f for arm in arms for f in arm.runs}
    for sweep in sweeps:
        runs |= {f.run.name: f for tried in sweep.tried for f in tried.runs}
    lacking = [f for f in runs.values() if f.state != found_lib.FINISHED]
    return Summary(
        study,
        arms,
        _pairs(arms),
        sweeps,
        tuple(lacking),
        (*labels(arms), *_notes(arms, sweeps)),
        measured.how(list(runs.values())),
    )


def _arm(study: plan.Study, arm: choice.Arm, look: choice.Look) -> Arm:
    runs: tuple[found_lib.Found, ...] = ()
    if arm.chosen is not None:
        runs = tuple(look(trials.Run(arm.chosen, seed)) for seed in study.seeds)
    done = [found for found in runs if found.state == found_lib.FINISHED]
    by_seed = {
        measure.key: {
            f.run.seed: value for f in done if (value := measure.of(f)) is not None
        }
        for measure in (*COMPARED, *SPENT)
    }
    means = {k: statistics.mean(list(v.values())) for k, v in by_seed.items() if v}
    return Arm(
        arm.name,
        arm.chosen,
        runs,
        means,
        by_seed,
        measured.means(done),
        arm.name == study.baseline_name,
    )


def _compared(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Return the arms with what they spend against the baseline."""
    base = next(arm for arm in arms if arm.is_baseline).means.get("gradients")
    if base is None:
        return tuple(arms)
    return tuple(dataclasses.replace(a, unequal=_unequal(a, base.mean)) for a in arms)


def _unequal(arm: Arm, base: float) -> float | None:
    own = arm.means.get("gradients")
    if own is None or abs(own.mean / base - 1) <= _EQUAL_GRADIENTS:
        return None
    return own.mean / base


def _pairs(arms: Sequence[Arm]) -> tuple[Pair, ...]:
    base = next(arm for arm in arms if arm.is_baseline)
    others = [arm for arm in arms if not arm.is_baseline]
    pairs = []
    for measure in COMPARED:
        found = [
            (arm.name, paired)
            for arm in others
            if (
                paired := statistics.paired(
                    arm.by_seed[measure.key], base.by_seed[measure.key]
                )
            )
        ]
        corrected = statistics.holm([paired.p for _, paired in found])
        pairs += [
            Pair(name, measure, paired, p)
            for (name, paired), p in zip(found, corrected, strict=True)
        ]
    return tuple(pairs)


def labels(arms: Sequence[Arm]) -> list[str]:
    """Return a line for each kind of labels that the runs were trained on."""
    by_words: dict[str, list[str]] = {}
    for arm in arms:
        for found in arm.runs:
            if noise := found.result.get("label_noise"):
                by_words.setdefault(wrong_labels.in_words(noise), []).append(arm.name)
    return [
        f"{', '.join(dict.fromkeys(names))}: {words}."
        for words, names in by_words.items()
    ]


def _notes(arms: Sequence[Arm], sweeps: Sequence[choice.Arm]) -> list[str]:
    runs = {arm.name: {f.run.name: f for f in arm.runs} for arm in arms}
    for sweep in sweeps:
        tried = [found for each in sweep.tried for found in each.runs]
        runs[sweep.name] |= {found.run.name: found for found in tried}
    notes = alike.notes({name: list(each.values()) for name, each in runs.items()})
    notes += measured.notes([found for arm in arms for found in arm.runs])
    for arm in arms:
        if arm.unequal is not None:
            notes.append(
                f"{arm.name} spends {arm.unequal:.2f} times the gradients of the "
                "baseline (marked †)."
            )
    for sweep in sweeps:
        if sweep.chosen is None:
            notes.append(f"{sweep.name}: {_why_none(sweep)}, so nothing is tested.")
        elif not all(tried.is_whole for tried in sweep.tried):
            notes.append(f"{sweep.name}: not all values were trained to their end.")
    return notes


def _why_none(sweep: choice.Arm) -> str:
    ended = (found_lib.DIVERGED, found_lib.FAILED, found_lib.OTHER)
    has_lost = [any(f.state in ended for f in tried.runs) for tried in sweep.tried]
    return (
        "no value was trained to its end" if all(has_lost) else "no value is chosen yet"
    )
