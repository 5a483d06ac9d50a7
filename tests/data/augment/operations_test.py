"""Each operation against NumPy, one image after the other, bit for bit."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.augment import operations, tables
from tests.data.augment import reference

# Different sides; the last but one is of few values, and the last of a single one.
SHAPES = [(11, 14, 3), (9, 9, 1)]


def pictures(shape, count=6):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    images[1] = rng.integers(100, 140, shape)
    images[2] = np.clip(rng.normal(200, 60, shape), 0, 255)
    images[-2] = rng.integers(0, 2, shape) * 77 + 20
    images[-1] = 42
    return images


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [0, 1, 3, 5, 7, 9, 10])
@pytest.mark.parametrize("name", list(operations.KINDS))
def test_an_operation_equals_numpy(name, level, shape):
    images = pictures(shape)
    for sign in (1, -1):
        rows = [operations.row(name, level, sign, shape[:2], 0.4)] * len(images)
        found = operations.apply(tf.constant(images), tf.constant(rows), {name})
        assert found.dtype == tf.uint8
        for image, result in zip(images, found.numpy(), strict=True):
            expected = reference.operation(image, name, level, sign, 0.4)
            np.testing.assert_array_equal(result, expected, err_msg=name)


def test_equalize_of_many_pixels():
    """More than 255 of them, as its step wants; counts beyond what 8 bits hold."""
    images = np.repeat(pictures((40, 50, 3)), 1, axis=0)
    found = tables.look_up(images, tables.equalize(images)).numpy()
    assert (found[0] != images[0]).any()
    for image, result in zip(images, found, strict=True):
        np.testing.assert_array_equal(result, reference.equalize(image))


def test_each_image_has_its_own_operation():
    images = pictures((8, 8, 3), count=len(operations.KINDS))
    names = list(operations.KINDS)
    rows = [operations.row(name, 8, -1, (8, 8), 0.4) for name in names]
    run = tf.function(lambda x, r: operations.apply(x, r, set(names)), jit_compile=True)
    for found in (
        run(tf.constant(images), tf.constant(rows)),
        operations.apply(tf.constant(images), tf.constant(rows), set(names)),
    ):
        for image, name, result in zip(images, names, found.numpy(), strict=True):
            expected = reference.operation(image, name, 8, -1, 0.4)
            np.testing.assert_array_equal(result, expected, err_msg=name)
