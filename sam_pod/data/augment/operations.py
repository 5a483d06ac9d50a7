"""The operations that AutoAugment and RandAugment choose from, for a whole batch.

Which operation an image gets, and how strongly, is a row of eight whole numbers. The
rows of a policy are made once, on the host; on the device each image draws one, and
all of them go through the same few steps: a table by value, a blend with a grey or a
smooth image, an affine map.

Strengths are those of AutoAugment's own code for CIFAR-10 (tensorflow/models,
research/autoaugment/augmentation_transforms.py) with its levels from 0 to 10, where
more is always stronger. Only `Posterize` follows the paper instead, arXiv 1805.09501,
table 6: 4 to 8 bits stay; the code leaves 0 to 4, and with 0 the image is black.
"""

import math

import tensorflow as tf

from sam_pod.data.augment import geometry, tables

MAX_LEVEL = 10
# Each name, and the number by which a row says it.
KINDS = {
    name: number
    for number, name in enumerate(
        (
            "Identity",
            "ShearX",
            "ShearY",
            "TranslateX",
            "TranslateY",
            "Rotate",
            "AutoContrast",
            "Invert",
            "Equalize",
            "Solarize",
            "Posterize",
            "Contrast",
            "Color",
            "Brightness",
            "Sharpness",
        )
    )
}
_GEOMETRY = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
_BY_VALUE = {
    "AutoContrast": lambda images, argument: tables.autocontrast(images),
    "Invert": lambda images, argument: tables.invert(),
    "Equalize": lambda images, argument: tables.equalize(images),
    "Solarize": lambda images, argument: tables.solarize(argument),
    "Posterize": lambda images, argument: tables.posterize(argument),
    "Contrast": tables.contrast,
    "Brightness": lambda images, argument: tables.brightness(argument),
}
WIDTH = 8  # Kind, argument, and an affine map.


def row(
    name: str, level: int, sign: int, image_shape: tuple[int, int], translation: float
) -> list[int]:
    """Return the numbers of an operation.

    Args:
        name: One of KINDS.
        level: A level from 0 to MAX_LEVEL.
        sign: The direction of a shear, translation or rotation, 1 or -1.
        image_shape: (H, W).
        translation: The part of a side by which the highest level moves an image.
    """
    height, width = image_shape
    share = level / MAX_LEVEL
    shear, turn = sign * 0.3 * share, sign * int(30 * level / MAX_LEVEL)
    maps = {
        "ShearX": (1, shear, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, shear, 1, 0),
        "TranslateX": (1, 0, sign * int(translation * width * share), 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, sign * int(translation * height * share)),
        "Rotate": _rotation(turn, height, width),
    }
    factor = round((0.1 + 1.8 * share) * tables.ONE)
    arguments = {
        "Solarize": 256 - int(256 * level / MAX_LEVEL),
        "Posterize": 8 - int(4 * level / MAX_LEVEL),
        **dict.fromkeys(("Contrast", "Color", "Brightness", "Sharpness"), factor),
    }
    affine = geometry.fixed_point(*maps.get(name, (1, 0, 0, 0, 1, 0)))
    return [KINDS[name], arguments.get(name, 0), *affine]


def _rotation(degrees: float, height: int, width: int) -> tuple[float, ...]:
    """Return the map that turns an image about its centre, counter-clockwise."""
    angle = -math.radians(degrees)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return (
        cosine,
        sine,
        x - cosine * x - sine * y,
        -sine,
        cosine,
        y + sine * x - cosine * y,
    )


def apply(images: tf.Tensor, rows: tf.Tensor, names: set[str]) -> tf.Tensor:
    """Do to each image what its row says.

    Args:
        images: uint8 `[B, H, W, C]`, C being 1 or 3.
        rows: int32 `[B, WIDTH]`, as returned by `row`.
        names: The operations that rows may name; the others cost nothing.

    Returns:
        uint8 `[B, H, W, C]`.
    """
    kind, argument = rows[:, 0, None, None], rows[:, 1]
    before = images
    by_value = [name for name in _BY_VALUE if name in names]
    if by_value:
        table = tf.broadcast_to(tf.range(256), [images.shape[0], images.shape[3], 256])
        for name in by_value:
            new = _BY_VALUE[name](before, argument)
            table = tf.where(kind == KINDS[name], new, table)
        images = tables.look_up(before, table)
    for name, degenerate in (("Color", tables.grey), ("Sharpness", smooth)):
        if name in names:
            new = tables.blend(
                degenerate(before),
                tf.cast(before, tf.int32),
                argument[:, None, None, None],
            )
            chosen = kind[..., None] == KINDS[name]
            images = tf.where(chosen, tf.cast(new, tf.uint8), images)
    if names & _GEOMETRY:
        images = geometry.affine(images, rows[:, 2:])
    return images


def smooth(images: tf.Tensor) -> tf.Tensor:
    """Return Pillow's SMOOTH: 3 x 3, 5 in the middle; the border as it was.

    uint8 `[B, H, W, C]` -> int32 `[B, H, W, C]`.
    """
    images = tf.cast(images, tf.int32)
    _, height, width, _ = images.shape
    if min(height, width) < 3:
        return images
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    across = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    total = across[:, :-2] + across[:, 1:-1] + across[:, 2:] + 4 * images
    y, x = tf.range(height)[:, None, None], tf.range(width)[:, None]
    inside = (y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)
    return tf.where(inside, (2 * total + 13) // 26, images)
