"""Cutout against slices in NumPy."""

import numpy as np
import pytest

from sam_pod.data.augment import erasing


@pytest.mark.parametrize("size", [1, 4, 5, 30])
def test_cutout_fills_a_square_about_any_pixel(size):
    rng = np.random.default_rng(0)
    images = rng.random((60, 9, 12, 3), np.float32)
    uniform = rng.random((60, 2), np.float32)
    fill = (0.25, 0.5, 0.75)
    found = erasing.cutout(images, uniform, size, fill).numpy()
    for image, result, (u, v) in zip(images, found, uniform, strict=True):
        y, x = int(u * 9) - size // 2, int(v * 12) - size // 2
        expected = image.copy()
        expected[max(y, 0) : max(y + size, 0), max(x, 0) : max(x + size, 0)] = fill
        np.testing.assert_array_equal(result, expected)
    assert (found != images).any()
