"""Lanczos on matrices whose spectra are known."""

import numpy as np
import pytest

from sam_pod.instruments import lanczos


def matrix(values, seed=0):
    """Return a symmetric matrix with these eigenvalues."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    return basis * np.asarray(values) @ basis.T


def run(values, steps, seed=0):
    a = matrix(values, seed)
    start = np.random.default_rng(seed + 1).normal(size=len(a))
    return a, lanczos.run(lambda v: a @ v, start, steps)


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_are_those_of_numpy_and_no_farther_than_their_residuals(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(size=195), [50, 30, 20, -40, 12]])
    a, found = run(values, 40, seed)
    largest, residuals = found.extremes(4)
    expected = np.linalg.eigvalsh(a)
    np.testing.assert_allclose(largest, expected[::-1][:4], rtol=1e-10)
    assert (np.abs(largest - expected[::-1][:4]) <= residuals + 1e-12).all()
    smallest, residual = found.smallest()
    assert smallest == pytest.approx(expected[0], rel=1e-10)
    assert residual < 1e-6


def test_values_that_have_not_converged_say_so_by_their_residuals():
    values = np.linspace(0, 1, 300)
    a, found = run(values, 6)
    largest, residuals = found.extremes(2)
    distance = np.abs(largest[:, None] - np.linalg.eigvalsh(a)).min(1)
    assert (distance <= residuals).all()
    assert residuals.min() > 1e-3


def test_no_eigenvalue_comes_twice_in_many_steps():
    """Plain Lanczos finds the outlier again and again (ghosts)."""
    values = np.concatenate([np.linspace(0, 1, 99), [1000.0]])
    _, found = run(values, 100)
    np.testing.assert_allclose(found.ritz()[0], values, atol=1e-9)


def test_a_start_in_a_small_invariant_space_goes_on_outside_it():
    a = np.diag([9.0, 5.0, 3.0, 2.0, 1.0])
    found = lanczos.run(lambda v: a @ v, np.eye(5)[3] + np.eye(5)[4], 5)
    assert (found.beside[1], found.beside[4]) == (0, 0)
    np.testing.assert_allclose(found.ritz()[0], [1, 2, 3, 5, 9], atol=1e-12)


def test_more_steps_than_dimensions_are_not_taken():
    _, found = run([3.0, 1.0, 2.0], 90)
    largest, residuals = found.extremes(3)
    np.testing.assert_allclose(largest, [3, 2, 1], atol=1e-12)
    np.testing.assert_allclose(residuals, 0, atol=1e-12)


def test_a_matrix_of_zeros_has_zeros():
    found = lanczos.run(np.zeros_like, np.ones(8), 4)
    np.testing.assert_array_equal(found.ritz()[0], 0)


def test_nodes_and_weights_integrate_polynomials_exactly():
    """Gauss' quadrature: m nodes are exact up to degree 2 m - 1."""
    a, found = run(np.linspace(-1, 2, 50), 5)
    start = np.random.default_rng(1).normal(size=50)
    start /= np.linalg.norm(start)
    nodes, weights = found.nodes()
    power = start
    for degree in range(10):
        assert weights @ nodes**degree == pytest.approx(start @ power, rel=1e-9)
        power = a @ power
