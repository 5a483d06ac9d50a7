"""The largest eigenvalues of the Hessian, by Lanczos."""

from typing import Any

import numpy as np
from absl import logging

from sam_pod.instruments import lanczos
from sam_pod.instruments.lanczos import Tridiagonal


def start(size: int, seed: int, number: int = 0) -> np.ndarray:
    """Return a start vector: N(0, I), keyed by the seed and its number."""
    return np.random.default_rng([seed, 0, number]).normal(size=size)


def find(
    product: lanczos.Product,
    size: int,
    *,
    iterations: int,
    seed: int,
    number: int = 0,
) -> Tridiagonal:
    """Return what Lanczos finds, with a line of the log now and then."""
    done = 0

    def counted(vector: np.ndarray) -> np.ndarray:
        nonlocal done
        image = product(vector)
        done += 1
        if done % 10 == 0:
            logging.info("Lanczos: product %d of %d.", done, iterations)
        return image

    return lanczos.run(counted, start(size, seed, number), iterations, seed)


def describe(found: Tridiagonal, count: int, squared_norm: float) -> dict[str, Any]:
    """Return the largest eigenvalues with their residuals, and what is made of them.

    Args:
        found: What Lanczos found.
        count: How many of the largest.
        squared_norm: ||w||^2 over all weights.
    """
    values, residuals = found.extremes(count)
    # The products are float32: nothing is known better than that.
    rounding = float(np.finfo(np.float32).eps * np.abs(values).max())
    residuals = np.maximum(residuals, rounding)
    smallest, its_residual = found.smallest()
    return {
        "largest": values.tolist(),
        "residuals": residuals.tolist(),
        "smallest": smallest,
        "smallest_residual": max(its_residual, rounding),
        "largest_times_squared_norm": float(values[0] * squared_norm),
        "largest_over_last": float(values[0] / values[-1]),
        "products": len(found.diagonal),
    }
