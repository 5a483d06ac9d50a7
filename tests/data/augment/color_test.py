"""Colours against NumPy and the standard library, image by image."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.augment import color


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    images = rng.random((40, 5, 4, 3), np.float32)
    images[0] = 0.3  # Grey has no hue.
    images[1, ..., 0] = images[1, ..., 1]  # Two largest channels.
    images[2] = 0
    return images


@pytest.fixture
def draws():
    return np.random.default_rng(1).random((40, 4), np.float32)


def in_hsv(pixel, change):
    return colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel)))


def test_brightness_shifts_and_clips(images, draws):
    result = color.brightness(images, draws[:, 3], 0.5)
    shift = (2 * draws[:, 3] - 1) * 0.5
    assert shift.min() < -0.3
    assert shift.max() > 0.3
    np.testing.assert_allclose(
        result, np.clip(images + shift[:, None, None, None], 0, 1), atol=1e-6
    )


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.5, 9.0])
def test_saturation_is_that_of_hsv(images, factor):
    found = color.saturate(images, tf.fill([40, 1, 1, 1], factor)).numpy()
    for pixel, result in zip(images.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        expected = in_hsv(pixel, lambda h, s, v: (h, min(s * factor, 1), v))
        np.testing.assert_allclose(result, expected, atol=2e-6)


@pytest.mark.parametrize("turns", [-0.9, -0.2, 0.0, 0.1, 0.5])
def test_hue_is_that_of_hsv(images, turns):
    found = color.turn_hue(images, tf.fill([40, 1, 1, 1], turns)).numpy()
    for pixel, result in zip(images.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        expected = in_hsv(pixel, lambda h, s, v: ((h + turns) % 1, s, v))
        np.testing.assert_allclose(result, expected, atol=2e-6)


def test_jitter_equals_the_ops_of_tensorflow_one_image_after_the_other(images, draws):
    found = color.jitter(images, draws).numpy()
    assert 0 <= found.min() < found.max() <= 1
    for image, result, u in zip(images, found, draws.astype(float), strict=True):
        x = np.clip(image + (2 * u[0] - 1) * 32 / 255, 0, 1).astype(np.float32)
        x = tf.image.adjust_saturation(x, 0.5 + u[1])
        x = tf.image.adjust_hue(x, (2 * u[2] - 1) * 0.2)
        x = tf.image.adjust_contrast(x, 0.5 + u[3])
        np.testing.assert_allclose(result, np.clip(x, 0, 1), atol=1e-5)


def test_compiled_in_one_piece_it_is_the_same(images, draws):
    """Though XLA rounds a number here one way and there another."""

    def fn(images, draws):
        return color.jitter(color.brightness(images, draws[:, 3], 0.5), draws)

    compiled = tf.function(fn, jit_compile=True)(images, draws)
    np.testing.assert_allclose(fn(images, draws), compiled, atol=1e-5)


def test_jitter_of_grey_images_changes_brightness_and_contrast(draws):
    images = np.random.default_rng(0).random((40, 5, 4, 1), np.float32)
    found = color.jitter(images, draws).numpy()
    for image, result, u in zip(images, found, draws, strict=True):
        x = np.clip(image + (2 * u[0] - 1) * 32 / 255, 0, 1)
        expected = (x - x.mean()) * (0.5 + u[3]) + x.mean()
        np.testing.assert_allclose(result, np.clip(expected, 0, 1), atol=1e-5)
