"""Intervals and tests in pairs, against SciPy's own and tables."""

import math

import numpy as np
import pytest
from scipy import stats

from sam_pod.study import statistics

VALUES = [94.1, 95.0, 93.2, 94.8, 95.5]
OTHERS = [90.0, 93.1, 92.9, 91.2, 94.0]


def test_an_interval_is_scipys():
    found = statistics.mean(VALUES)
    low, high = stats.t.interval(0.95, 4, np.mean(VALUES), stats.sem(VALUES))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.count == 5


@pytest.mark.parametrize(
    ("count", "factor"), [(3, 2.484), (5, 1.242), (10, 0.715), (20, 0.468)]
)
def test_half_an_interval_is_a_known_number_of_deviations(count, factor):
    values = np.random.default_rng(0).normal(size=count)
    half = statistics.mean(values).half
    assert half / values.std(ddof=1) == pytest.approx(factor, abs=1e-3)


def test_pairs_are_those_of_one_seed():
    arm = dict(enumerate(VALUES))
    base = dict(reversed(list(enumerate(OTHERS)))) | {7: 1.0}
    found = statistics.paired(arm, base)
    assert found.p == pytest.approx(stats.ttest_rel(VALUES, OTHERS).pvalue)
    low, high = stats.ttest_rel(VALUES, OTHERS).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))


def test_one_pair_has_no_interval_and_none_no_difference():
    assert statistics.paired({0: 1.0}, {1: 1.0}) is None
    found = statistics.paired({0: 3.0}, {0: 1.0})
    assert found.difference.mean == 2 and math.isnan(found.difference.half)
    assert math.isnan(found.p)


@pytest.mark.parametrize(
    ("arm", "base"),
    [([1.0, 2.0], [1.0, 2.0]), ([2.0, 3.0], [1.0, 2.0]), ([0.9, 0.8], [0.8, 0.7])],
)
def test_equal_differences_have_no_p(arm, base):
    """Also where they are equal but for rounding, as the last of these."""
    found = statistics.paired(dict(enumerate(arm)), dict(enumerate(base)))
    assert math.isnan(found.p)
    assert found.difference.mean == pytest.approx(arm[0] - base[0])


def test_holm_multiplies_by_what_is_left_and_never_falls():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.9, math.nan, 0.8])[0] == 1.0
    assert math.isnan(statistics.holm([0.9, math.nan])[1])
