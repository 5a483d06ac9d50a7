"""The trace of the Hessian, by Hutchinson's estimate."""

from typing import Any

import numpy as np

from sam_pod.instruments.lanczos import Product


def estimate(product: Product, size: int, *, probes: int, seed: int) -> dict[str, Any]:
    """Return the mean of z'Hz over random signs z, and its standard error.

    Each z'Hz has the trace as its expectation (Hutchinson, 1989).

    Args:
        product: The product with the matrix.
        size: The number of weights.
        probes: The number of vectors z, 2 at least.
        seed: The seed of the signs.
    """
    found = []
    for number in range(probes):
        signs = np.random.default_rng([seed, 1, number]).choice([-1.0, 1.0], size)
        found.append(float(signs @ product(signs)))
    return {
        "trace": float(np.mean(found)),
        "standard_error": float(np.std(found, ddof=1) / np.sqrt(probes)),
        "mean_eigenvalue": float(np.mean(found) / size),
        "probes": probes,
    }
