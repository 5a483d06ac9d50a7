"""Trace and density on matrices whose spectra are known."""

import numpy as np
import pytest

from sam_pod.instruments import density, lanczos, trace
from tests.instruments.lanczos_test import matrix


def test_the_trace_is_within_its_standard_error_and_that_is_the_true_one():
    a = matrix(np.linspace(-1, 3, 80))
    found = trace.estimate(lambda v: a @ v, 80, probes=400, seed=0)
    assert abs(found["trace"] - np.trace(a)) < 3 * found["standard_error"]
    # The variance of z'Az is twice the squares beside the diagonal.
    beside = a - np.diag(np.diag(a))
    expected = np.sqrt(2 * np.square(beside).sum() / 400)
    assert found["standard_error"] == pytest.approx(expected, rel=0.15)
    assert found["mean_eigenvalue"] * 80 == pytest.approx(found["trace"])


def test_the_trace_of_a_diagonal_matrix_is_exact():
    values = np.arange(10.0)
    found = trace.estimate(lambda v: values * v, 10, probes=2, seed=1)
    assert (found["trace"], found["standard_error"]) == (45, 0)


def estimate(values, probes):
    a = matrix(values)
    starts = np.random.default_rng(0).normal(size=(probes, len(a)))
    return density.estimate([lanczos.run(lambda v: a @ v, s, 60) for s in starts])


def test_the_density_has_the_weight_of_each_cluster_where_it_is():
    """70 eigenvalues near 0, 25 near 5, 5 near -2."""
    rng = np.random.default_rng(1)
    values = np.repeat([0.0, 5.0, -2.0], [70, 25, 5]) + 0.01 * rng.normal(size=100)
    found = estimate(values, 30)
    grid, rho = np.array(found["grid"]), np.array(found["density"])
    assert np.trapz(rho, grid) == pytest.approx(1)
    for center, share in ((0, 0.70), (5, 0.25), (-2, 0.05)):
        near = np.abs(grid - center) < 0.5
        assert np.trapz(rho[near], grid[near]) == pytest.approx(share, abs=0.04)
    assert found["negative_part"] == pytest.approx((values < 0).mean(), abs=0.04)


def test_the_density_of_one_eigenvalue_is_a_peak_there():
    found = estimate(np.full(20, 3.0), 1)
    assert found["grid"][int(np.argmax(found["density"]))] == pytest.approx(3, abs=1e-6)
    assert np.trapz(found["density"], found["grid"]) == pytest.approx(1)
