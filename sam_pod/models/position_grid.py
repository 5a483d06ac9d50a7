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
    value: np.ndarray,
    shape: tuple[int, ...],
    image_shape: tuple[int, int, int],
    given_shape: tuple[int, int, int] | None = None,
) -> tuple[np.ndarray, str] | None:
    """Return positions on the grid of a network, and in words what was done.

    They are interpolated linearly along both sides, and corners stay corners, as in
    the code of arXiv 2010.11929 and in big_vision (scipy.ndimage.zoom of order 1).

    Args:
        value: Positions `[tokens, width]`, row by row.
        shape: The network's (tokens, width).
        image_shape: (H, W, C) of its images, which its patches are squares of.
        given_shape: The same of the images that the positions were learned with. Where
            that is not known (None), or is not theirs, their grid is a square.

    Returns:
        None where the widths differ, there is no such grid, or it is the same.
    """
    if value.ndim != 2 or value.shape[1] != shape[1]:
        return None
    tokens = value.shape[0]
    old = _grid(tokens, given_shape) or _grid(tokens, None)
    new = _grid(shape[0], image_shape)
    if not old or not new or old == new:
        return None
    grid = value.astype(np.float32).reshape(*old, -1)
    factors = new[0] / old[0], new[1] / old[1], 1
    zoomed = ndimage.zoom(grid, factors, order=1)
    words = " to ".join(f"{rows} x {columns}" for rows, columns in (old, new))
    return zoomed.reshape(shape), f"from {words} (linearly, corners on corners)"


def _grid(
    tokens: int, image_shape: tuple[int, int, int] | None
) -> tuple[int, int] | None:
    """Return the rows and columns of an image's patches; None where there are none."""
    height, width, _ = image_shape or (1, 1, 1)
    rows = math.isqrt(tokens * height // width)
    is_whole = rows and tokens % rows == 0 and rows * width == tokens // rows * height
    return (rows, tokens // rows) if is_whole else None
