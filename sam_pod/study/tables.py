"""The tables of a report, as texts: for Markdown and for HTML alike."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from sam_pod.study import choice, measured, statistics, summary
from sam_pod.study import found as found_lib


class Table(NamedTuple):
    """A table with a head; numbers are to the right of the first column."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    has_numbers: bool = True


_NOTHING = "-"


def of(found: summary.Summary) -> list[Table]:
    """Return the tables that have a row."""
    tables = [
        results(found),
        _differences(found),
        _spent(found),
        _sweeps(found.sweeps),
        _by_seed(found),
        _sharpness(found),
        _not_finished(found.not_finished),
        _arms(found),
    ]
    return [table for table in tables if table.rows]


def results(found: summary.Summary) -> Table:
    """Return the table that answers the study's question."""
    rows = []
    for arm in found.arms:
        done = len(arm.by_seed[summary.PRIMARY.key])
        cells = [_mean(arm, measure) for measure in summary.COMPARED]
        rows.append((_name(arm), f"{done}/{len(found.study.seeds)}", *cells))
    return Table(
        "Results",
        ("arm", "seeds", *(measure.name for measure in summary.COMPARED)),
        tuple(rows),
        "Mean and half of Student's 95 % interval over the seeds. The last epoch is "
        "the primary figure; the best validation is the epoch of the lowest "
        "validation loss. No epoch is chosen by the test. † unequal gradients.",
    )


def _differences(found: summary.Summary) -> Table:
    rows = []
    for pair in found.pairs:
        measure, paired = pair.measure, pair.paired
        unit = " points" if measure.unit == "%" else ""
        size = _number(paired.difference, measure, signed=True)
        ps = (_p(paired.p), _p(pair.p_holm))
        count = str(paired.difference.count)
        rows.append((pair.arm, measure.name, count, f"{size}{unit}", *ps))
    return Table(
        f"Differences to {found.study.baseline_name}, seed by seed",
        ("arm", "figure", "pairs", "difference", "p", "p, Holm"),
        tuple(rows),
        "The arm less the baseline with the same seed: mean and half of Student's "
        "95 % interval, p of the two-sided test in pairs, and p corrected for the "
        "number of arms. A difference smaller than its half interval is noise.",
    )


def _spent(found: summary.Summary) -> Table:
    rows = [
        (_name(arm), *(_mean(arm, measure, bare=True) for measure in summary.SPENT))
        for arm in found.arms
        if arm.means
    ]
    return Table(
        "Spent by a run",
        ("arm", "gradients", "seconds", "input wait"),
        tuple(rows),
        "Means. A gradient is that of a global batch; a forward pass alone counts a "
        "third. Seconds are those of training, validation and compiling, and depend "
        "on what else the machine does. Input wait is the share of the training "
        "loops' time without a batch.",
    )


def _sweeps(sweeps: Sequence[choice.Arm]) -> Table:
    rows = []
    for arm in sweeps:
        for tried in arm.tried:
            scores = (_NOTHING, _NOTHING)
            if tried.accuracies:
                accuracy = statistics.mean(tried.accuracies)
                loss = statistics.mean(tried.losses)
                scores = (f"{100 * accuracy.mean:.2f} %", f"{loss.mean:.4f}")
            is_it = arm.chosen is not None and tried.trial.folder == arm.chosen.folder
            done = f"{len(tried.accuracies)}/{len(tried.runs)}"
            mark = "chosen" if is_it else ""
            rows.append((arm.name, tried.trial.value, done, *scores, mark))
    return Table(
        "Values tried, on validation",
        ("arm", "value", "seeds", "validation accuracy", "validation loss", ""),
        tuple(rows),
        "At the last epoch, each arm with as many trials. Only the chosen value's "
        "test results are read.",
    )


def _by_seed(found: summary.Summary) -> Table:
    measure, seeds = summary.PRIMARY, found.study.seeds
    rows = tuple(
        (
            _name(arm),
            *(_value(arm.by_seed[measure.key].get(seed), measure) for seed in seeds),
        )
        for arm in found.arms
    )
    head = ("arm", *(f"seed {seed}" for seed in seeds))
    return Table("Test accuracy at the last epoch by seed", head, rows)


def _sharpness(found: summary.Summary) -> Table:
    paths = dict.fromkeys(path for arm in found.arms for path in arm.sharpness)
    rows = [
        (path, *(_significant(arm.sharpness.get(path)) for arm in found.arms))
        for path in paths
    ]
    how = "".join(f" {each[0].upper()}{each[1:]}." for each in found.measured_how)
    return Table(
        "Sharpness",
        ("figure", *(arm.name for arm in found.arms)),
        tuple(rows),
        f"From the {found_lib.SHARPNESS} of {_count(found)}, which python -m "
        "sam_pod.sharpness writes: mean and half of Student's 95 % interval. "
        f"{measured.SHOWN}{how}",
    )


def _count(found: summary.Summary) -> str:
    runs = [f for arm in found.arms for f in arm.runs if f.state == found_lib.FINISHED]
    return f"{sum(bool(f.sharpness) for f in runs)} of {len(runs)} finished runs"


def _not_finished(lacking: Sequence[found_lib.Found]) -> Table:
    rows = tuple((found.run.name, found.state, found.why) for found in lacking)
    return Table("Not finished", ("run", "state", "why"), rows, has_numbers=False)


def _arms(found: summary.Summary) -> Table:
    rows = []
    for arm in found.arms:
        if arm.trial is None:
            rows.append((arm.name, _NOTHING, "not chosen"))
            continue
        recipe = arm.trial.recipe.replace("\\", "/").rpartition("/")[2]
        keys = ", ".join(f"{k}={v}" for k, v in arm.trial.overrides.items())
        rows.append((arm.name, recipe, keys or "as the recipe says"))
    return Table("Arms", ("arm", "recipe", "keys"), tuple(rows), has_numbers=False)


def _name(arm: summary.Arm) -> str:
    return arm.name + (" †" if arm.unequal is not None else "")


def _mean(arm: summary.Arm, measure: summary.Measure, *, bare: bool = False) -> str:
    mean = arm.means.get(measure.key)
    if mean is None:
        return _NOTHING
    if bare:
        return _value(mean.mean, measure)
    return _number(mean, measure) + (f" {measure.unit}" if measure.unit else "")


def _number(
    mean: statistics.Mean, measure: summary.Measure, *, signed: bool = False
) -> str:
    sign = "+" if signed else ""
    text = f"{mean.mean * measure.scale:{sign},.{measure.digits}f}"
    if math.isnan(mean.half):
        return text
    return f"{text} ± {mean.half * measure.scale:,.{measure.digits}f}"


def _value(value: float | None, measure: summary.Measure) -> str:
    if value is None:
        return _NOTHING
    unit = f" {measure.unit}" if measure.unit else ""
    return f"{value * measure.scale:,.{measure.digits}f}{unit}"


def _significant(mean: statistics.Mean | None) -> str:
    if mean is None:
        return _NOTHING
    if math.isnan(mean.half):
        return f"{mean.mean:.4g}"
    return f"{mean.mean:.4g} ± {mean.half:.2g}"


def _p(p: float) -> str:
    if math.isnan(p):
        return _NOTHING
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
