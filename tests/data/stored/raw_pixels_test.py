"""Which numbers are an image, and what is said of others."""

import warnings

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.stored import raw_pixels


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (1, 4, 5)])
def test_whole_numbers_are_pixels(kind, shape):
    pixels = np.arange(20).reshape(4, 5, 1) * 13
    found = raw_pixels.as_image(pixels.reshape(shape).astype(kind), "here", "image")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


def test_ones_are_pixels_where_they_are_whole_numbers():
    ones = np.eye(4, dtype=np.int64)
    np.testing.assert_array_equal(raw_pixels.as_image(ones, "", "")[..., 0], ones)
    black = raw_pixels.as_image(np.zeros([4, 4], np.float32), "", "")
    assert black.max() == 0


@pytest.mark.parametrize(
    ("pixels", "line"),
    [
        (np.full([4, 4], 0.5), "numbers from 0.5 to 0.5"),
        (np.eye(4), "numbers from 0 to 1"),
        (np.full([4, 4], 256), "numbers from 256 to 256"),
        (np.full([4, 4], -1), "numbers from -1 to -1"),
        (np.where(np.eye(4) > 0, np.nan, 3), "no finite numbers in .image."),
        (np.full([4, 4], np.inf), "null or no finite numbers"),
        (np.zeros([4, 4, 2]), r"shape \(4, 4, 2\)"),
    ],
)
def test_other_numbers_are_refused_in_one_line(pixels, line):
    with warnings.catch_warnings(), pytest.raises(errors.UserError, match=line):
        warnings.simplefilter("error")
        raw_pixels.as_image(pixels, "here", "image")
