"""The density of the Hessian's eigenvalues, by stochastic Lanczos quadrature.

After Ghorbani, Krishnan and Xiao, arXiv 1901.10159: the nodes and weights of Lanczos
from random start vectors, each smeared by a normal density.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sam_pod.instruments.lanczos import Tridiagonal

POINTS = 512
WIDTH = 0.01  # Of the normal density, in parts of the range of the nodes.


def estimate(found: Sequence[Tridiagonal]) -> dict[str, Any]:
    """Return the density on a grid; its integral is 1.

    Args:
        found: What Lanczos found from each start vector, N(0, I).
    """
    pairs = [one.nodes() for one in found]
    low = min(float(nodes[0]) for nodes, _ in pairs)
    high = max(float(nodes[-1]) for nodes, _ in pairs)
    width = WIDTH * max(high - low, 1e-6 * max(abs(low), abs(high), 1e-6))
    grid = np.linspace(low - 5 * width, high + 5 * width, POINTS)
    each = [_smeared(nodes, weights, grid, width) for nodes, weights in pairs]
    density = np.mean(each, 0)
    # A density is narrower than the grid where all nodes are one.
    density /= np.trapz(density, grid)
    return {
        "grid": grid.tolist(),
        "density": density.tolist(),
        "width": width,
        "probes": len(pairs),
        "negative_part": float(np.mean([w[n < 0].sum() for n, w in pairs])),
        "nodes": [nodes.tolist() for nodes, _ in pairs],
        "weights": [weights.tolist() for _, weights in pairs],
    }


def _smeared(
    nodes: np.ndarray, weights: np.ndarray, grid: np.ndarray, width: float
) -> np.ndarray:
    distance = (grid[:, None] - nodes) / width
    return np.exp(-0.5 * distance**2) @ weights / (width * np.sqrt(2 * np.pi))
