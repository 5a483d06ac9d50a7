"""Lanczos on a symmetric matrix that is known by its products alone, in NumPy.

With full re-orthogonalization, so that no eigenvalue comes twice (the ghosts of the
plain recurrence), and with residuals, so that a value is known to have converged.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.linalg

# From a vector `[n]` to the matrix times it, float64.
Product = Callable[[np.ndarray], np.ndarray]

# A vector that is shorter than this part of the matrix's norm is rounding alone.
_ROUNDING = 1e-7
# Vectors of more bytes than this in all are kept in float32, as products are.
_WIDE_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Tridiagonal:
    """What some steps of Lanczos found: T, and how it goes on."""

    diagonal: np.ndarray  # [m]
    beside: np.ndarray  # [m]: the last one is that of a step more, 0 at the end.

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the Ritz values, rising, and their vectors in T's basis, `[m, m]`."""
        return scipy.linalg.eigh_tridiagonal(self.diagonal, self.beside[:-1])

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the nodes and weights of the quadrature for the start vector."""
        values, vectors = self.ritz()
        return values, vectors[0] ** 2

    def extremes(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the `count` largest eigenvalues, falling, and their residuals.

        A residual is ||H v - lambda v|| of the unit Ritz vector, |beta_m s_m|: there
        is an eigenvalue of the matrix no farther than that.
        """
        values, vectors = self.ritz()
        residuals = np.abs(self.beside[-1] * vectors[-1])
        return values[::-1][:count], residuals[::-1][:count]

    def smallest(self) -> tuple[float, float]:
        """Return the smallest eigenvalue and its residual."""
        values, vectors = self.ritz()
        return float(values[0]), float(abs(self.beside[-1] * vectors[-1, 0]))


def run(product: Product, start: np.ndarray, steps: int, seed: int = 0) -> Tridiagonal:
    """Return the matrix T of `steps` products, or of fewer where the space is smaller.

    Where the vectors end before, as from a start in a smaller invariant space, a random
    one that is orthogonal to them goes on; T has a 0 there.

    Args:
        product: The product with a symmetric matrix.
        start: Any vector but 0.
        steps: The number of products.
        seed: The seed of the vectors that go on.
    """
    size = len(start)
    steps = min(steps, size)
    wide = np.float64 if steps * size * 8 <= _WIDE_BYTES else np.float32
    basis = np.zeros((steps, size), wide)
    diagonal, beside = np.zeros(steps), np.zeros(steps)
    vector = start / np.linalg.norm(start)
    scale = 0.0
    for i in range(steps):
        basis[i] = vector
        image = product(basis[i].astype(np.float64))
        diagonal[i] = image @ basis[i]
        scale = max(scale, np.linalg.norm(image))
        rest = _orthogonal(image, basis[: i + 1])
        beside[i] = np.linalg.norm(rest)
        if i + 1 == size:
            beside[i] = 0.0
        elif beside[i] <= _ROUNDING * scale:
            beside[i] = 0.0
            random = np.random.default_rng([seed, i]).normal(size=size)
            rest = _orthogonal(random, basis[: i + 1])
        vector = rest / max(np.linalg.norm(rest), np.finfo(np.float64).tiny)
    return Tridiagonal(diagonal, beside)


def _orthogonal(vector: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return the part of a vector that is orthogonal to all the rows of a basis."""
    for _ in range(2):  # Twice is enough (Kahan and Parlett).
        shares = basis @ vector.astype(basis.dtype)
        vector = vector - shares @ basis
    return vector
