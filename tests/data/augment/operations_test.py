"""Each operation against NumPy, one image after the other, bit for bit."""

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
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


def in_pillow(image, name, level, sign, translation):
    """Do it as AutoAugment's own code does, with the strengths of `operations`."""
    picture = PIL.Image.fromarray(image)
    height, width = image.shape[:2]
    factor = level * 1.8 / 10 + 0.1
    shear, share = 0.3 * level / 10 * sign, translation * level / 10

    def affine(*numbers):
        return picture.transform(
            (width, height), PIL.Image.AFFINE, numbers, fillcolor=(128,) * 3
        )

    done = {
        "Identity": lambda: picture,
        "ShearX": lambda: affine(1, shear, 0, 0, 1, 0),
        "ShearY": lambda: affine(1, 0, 0, shear, 1, 0),
        "TranslateX": lambda: affine(1, 0, sign * int(share * width), 0, 1, 0),
        "TranslateY": lambda: affine(1, 0, 0, 0, 1, sign * int(share * height)),
        "Rotate": lambda: picture.rotate(sign * 3 * level, fillcolor=(128,) * 3),
        "AutoContrast": lambda: PIL.ImageOps.autocontrast(picture),
        "Invert": lambda: PIL.ImageOps.invert(picture),
        "Equalize": lambda: PIL.ImageOps.equalize(picture),
        "Solarize": lambda: PIL.ImageOps.solarize(picture, 256 - 256 * level // 10),
        "Posterize": lambda: PIL.ImageOps.posterize(picture, 8 - 4 * level // 10),
        "Contrast": lambda: PIL.ImageEnhance.Contrast(picture).enhance(factor),
        "Color": lambda: PIL.ImageEnhance.Color(picture).enhance(factor),
        "Brightness": lambda: PIL.ImageEnhance.Brightness(picture).enhance(factor),
        "Sharpness": lambda: PIL.ImageEnhance.Sharpness(picture).enhance(factor),
    }
    return np.asarray(done[name]())


@pytest.mark.parametrize("name", list(operations.KINDS))
def test_an_operation_equals_pillow(name):
    """Bit for bit, but where Pillow's floats miss a whole number by a hair."""
    images = pictures((32, 30, 3))
    differ = 0
    for level in range(operations.MAX_LEVEL + 1):
        rows = [operations.row(name, level, -1, (32, 30), 0.4)] * len(images)
        found = operations.apply(tf.constant(images), tf.constant(rows), {name})
        for image, result in zip(images, found.numpy().astype(int), strict=True):
            apart = np.abs(result - in_pillow(image, name, level, -1, 0.4))
            assert apart.max() <= 1
            differ += np.count_nonzero(apart)
    floats = ("AutoContrast", "Brightness", "Color", "Contrast", "Sharpness")
    allowed = 0.01 if name in floats else 0
    assert differ <= allowed * images.size * (operations.MAX_LEVEL + 1)
