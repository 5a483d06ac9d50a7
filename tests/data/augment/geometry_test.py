"""Crops, flips and maps against slices in NumPy, image by image."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.augment import geometry
from tests.data.augment import reference


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (50, 6, 8, 3), dtype=np.uint8)


@pytest.fixture
def draws():
    return np.random.default_rng(1).random((50, 3), np.float32)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_equals_slices_of_the_padded_image(draws, padding, channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 6, 8, channels), dtype=np.uint8)
    cropped = geometry.crop(tf.constant(images), draws[:, :2], padding).numpy()
    assert cropped.dtype == np.uint8
    corners = set()
    for image, result, (u, v) in zip(images, cropped, draws[:, :2], strict=True):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        row, column = (int(x * (2 * padding + 1)) for x in (u, v))
        corners.add((row, column))
        np.testing.assert_array_equal(
            result, padded[row : row + 6, column : column + 8]
        )
    assert len(corners) > (1 if padding else 0)


@pytest.mark.parametrize("padding", [0, 1, 5])
def test_a_crop_that_reflects_equals_slices_of_numpys_padding(images, draws, padding):
    flips = draws[:, 2]
    found = geometry.crop(tf.constant(images), draws[:, :2], padding, flips, "reflect")
    for image, result, (u, v, f) in zip(images, found.numpy(), draws, strict=True):
        sides = (padding, padding)
        padded = np.pad(image, (sides, sides, (0, 0)), mode="reflect")
        row, column = (int(x * (2 * padding + 1)) for x in (u, v))
        expected = padded[row : row + 6, column : column + 8]
        np.testing.assert_array_equal(
            result, expected[:, ::-1] if f < 0.5 else expected
        )


def test_flip_mirrors_about_half(images, draws):
    flipped = geometry.flip(tf.constant(images), draws[:, 2]).numpy()
    mirrored = draws[:, 2] < 0.5
    assert 10 < mirrored.sum() < 40
    np.testing.assert_array_equal(flipped[mirrored], images[mirrored][:, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored], images[~mirrored])


def test_affine_equals_pixel_by_pixel(images):
    rng = np.random.default_rng(2)
    maps = rng.normal(0, 0.3, (50, 6)) + [1, 0, 0, 0, 1, 0]
    maps[:, [2, 5]] *= 10
    found = geometry.affine(
        tf.constant(images), tf.constant([geometry.fixed_point(*m) for m in maps])
    ).numpy()
    for image, result, numbers in zip(images, found, maps.tolist(), strict=True):
        np.testing.assert_array_equal(result, reference.affine(image, *numbers))
    outside = (found == geometry.FILL).all(-1).mean()
    assert 0.1 < outside < 0.9


def test_a_crop_mirrors_as_flip_does():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (16, 7, 9, 3), dtype=np.uint8))
    uniform = tf.constant(rng.random((16, 3), np.float32))
    apart = geometry.flip(geometry.crop(images, uniform[:, :2], 2), uniform[:, 2])
    together = geometry.crop(images, uniform[:, :2], 2, uniform[:, 2])
    np.testing.assert_array_equal(apart, together)
