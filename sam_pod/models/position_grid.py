"""A transformer's positions on another grid of patches."""

import math

import keras
import numpy as np
from scipy import ndimage

from sam_pod.models import positions, variable_names


def names(model: keras.Model) -> set[str]:
    """Return the names of a model's learned positions."""
    own = [
        layer.alpha
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, positions.Positions)
    ]
    return set(variable_names.of(model, own))


def resized(
    value: np.ndarray, shape: tuple[int, ...], image_shape: tuple[int, int, int]
) -> tuple[np.ndarray, str] | None:
    """Return positions on the grid of a network, and in words what was done.

    They are interpolated linearly along both sides, and corners stay corners, as in
    the code of arXiv 2010.11929 and in big_vision (scipy.ndimage.zoom of order 1). A
    grid of given positions is a square: they do not say what else it is.

    Args:
        value: Positions `[tokens, width]`, row by row.
        shape: The network's (tokens, width).
        image_shape: (H, W, C) of its images, which its patches are squares of.

    Returns:
        None where the widths differ or there is no such grid.
    """
    if value.ndim != 2 or value.shape[1] != shape[1]:
        return None
    height, width, _ = image_shape
    rows = math.isqrt(shape[0] * height // width)
    old = math.isqrt(value.shape[0])
    if old * old != value.shape[0] or not rows or shape[0] % rows:
        return None
    new = rows, shape[0] // rows
    grid = value.astype(np.float32).reshape(old, old, -1)
    zoomed = ndimage.zoom(grid, (new[0] / old, new[1] / old, 1), order=1)
    words = f"from {old} x {old} to {new[0]} x {new[1]} (linearly, corners on corners)"
    return zoomed.reshape(shape), words
