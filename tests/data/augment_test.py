"""Augmentation against plain NumPy, image by image."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.data import augment


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (50, 6, 8, 3), dtype=np.uint8)


@pytest.fixture
def draws():
    return augment.draws(tf.constant([1, 2]), 50)


def test_draws_are_a_function_of_the_key(draws):
    assert draws.shape == (50, augment.NUM_DRAWS)
    np.testing.assert_array_equal(draws, augment.draws(tf.constant([1, 2]), 50))
    assert np.abs(draws - augment.draws(tf.constant([1, 3]), 50)).max() > 0.5
    assert 0 <= draws.numpy().min() < draws.numpy().max() < 1


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_equals_slices_of_the_padded_image(images, draws, padding):
    cropped = augment.crop(tf.constant(images), draws[:, :2], padding).numpy()
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


def test_flip_mirrors_about_half(images, draws):
    flipped = augment.flip(tf.constant(images), draws[:, 2]).numpy()
    mirrored = draws[:, 2].numpy() < 0.5
    assert 10 < mirrored.sum() < 40
    np.testing.assert_array_equal(flipped[mirrored], images[mirrored][:, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored], images[~mirrored])


def test_brightness_shifts_and_clips(images, draws):
    scaled = images / np.float32(255)
    result = augment.brightness(tf.constant(scaled), draws[:, 3], 0.5)
    shift = (2 * draws[:, 3].numpy() - 1) * 0.5
    assert shift.min() < -0.3
    assert shift.max() > 0.3
    np.testing.assert_allclose(
        result, np.clip(scaled + shift[:, None, None, None], 0, 1), atol=1e-6
    )


def test_standardize_and_to_float(images):
    result = augment.standardize(
        augment.to_float(tf.constant(images)), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    )
    expected = (images / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_build_does_what_the_names_say(images, draws):
    def built(names):
        return augment.build(names, crop_padding=2, brightness_delta=0.3)(
            tf.constant(images), draws
        ).numpy()

    np.testing.assert_allclose(built(""), images / 255, atol=1e-6)
    every = augment.crop(tf.constant(images), draws[:, :2], 2)
    every = augment.to_float(augment.flip(every, draws[:, 2]))
    every = augment.brightness(every, draws[:, 3], 0.3)
    np.testing.assert_array_equal(built("crop, flip,brightness"), every)
    np.testing.assert_array_equal(built("brightness,flip,crop"), every)


def test_unknown_name_is_refused():
    with pytest.raises(errors.UserError, match=r"data\.augment.*'crpo'.*'crop'\?"):
        augment.build("flip,crpo", crop_padding=4, brightness_delta=0.5)
