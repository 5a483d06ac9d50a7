"""Means with Student's intervals, and differences in pairs.

Few seeds have wide intervals: half of one is 12.7 deviations of the mean with two
seeds, 4.3 with three, 2.8 with five.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
_ROUNDING = 1e-9  # Of figures; their differences are equal up to it.


class Mean(NamedTuple):
    """A mean over seeds."""

    mean: float
    half: float  # Half of the interval; NaN for one value.
    count: int

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.mean + self.half


class Paired(NamedTuple):
    """The mean difference of an arm to the baseline, over the seeds that both have."""

    difference: Mean
    # Of Student's test in pairs, two-sided; NaN below two pairs, and where all
    # differences are one: without a spread there is no test.
    p: float


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of values, with Student's interval for it.

    Raises:
        ValueError: there is none.
    """
    found = np.asarray(values, np.float64)
    if not len(found):
        raise ValueError("a mean of nothing")
    if len(found) == 1:
        return Mean(float(found[0]), math.nan, 1)
    error = found.std(ddof=1) / math.sqrt(len(found))
    half = stats.t.ppf((1 + LEVEL) / 2, len(found) - 1) * error
    return Mean(float(found.mean()), float(half), len(found))


def paired(arm: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
    """Return the difference by seed, arm less baseline; None without a common seed."""
    seeds = sorted(arm.keys() & baseline.keys())
    if not seeds:
        return None
    first, second = ([side[seed] for seed in seeds] for side in (arm, baseline))
    difference = mean([a - b for a, b in zip(first, second, strict=True)])
    size = max(map(abs, (*first, *second)))
    if len(seeds) == 1 or difference.half <= _ROUNDING * size:
        return Paired(difference, math.nan)
    return Paired(difference, float(stats.ttest_rel(first, second).pvalue))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values corrected for being several, by Holm's method; NaN stays."""
    known = [i for i, p in enumerate(ps) if not math.isnan(p)]
    order = sorted(known, key=ps.__getitem__)
    corrected, least = [math.nan] * len(ps), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * ps[i]))
        corrected[i] = least
    return corrected
