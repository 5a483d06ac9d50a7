"""AutoAugment's policies and RandAugment: which operations an image draws.

The tables are those of arXiv 1805.09501 (version 3), table 7 for CIFAR-10 and table 9
for ImageNet, as torchvision's AutoAugmentPolicy has them too. The code of the SAM
paper has others under the same names (google-research/sam, autoaugment/policies.py).
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sam_pod.data.augment import operations

SubPolicy = tuple[tuple[str, float, int], tuple[str, float, int]]
# (uint8 images, uniform [B, width]) -> uint8 images.
Policy = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def _parse(text: str) -> tuple[SubPolicy, ...]:
    """Read lines of two operations, each its name, probability and level."""
    lines = [line.split() for line in text.strip().splitlines()]
    return tuple(
        ((a, float(p), int(m)), (b, float(q), int(n))) for a, p, m, b, q, n in lines
    )


AUTOAUGMENT = {
    "cifar10": _parse(
        """
        Invert       0.1 7  Contrast     0.2 6
        Rotate       0.7 2  TranslateX   0.3 9
        Sharpness    0.8 1  Sharpness    0.9 3
        ShearY       0.5 8  TranslateY   0.7 9
        AutoContrast 0.5 8  Equalize     0.9 2
        ShearY       0.2 7  Posterize    0.3 7
        Color        0.4 3  Brightness   0.6 7
        Sharpness    0.3 9  Brightness   0.7 9
        Equalize     0.6 5  Equalize     0.5 1
        Contrast     0.6 7  Sharpness    0.6 5
        Color        0.7 7  TranslateX   0.5 8
        Equalize     0.3 7  AutoContrast 0.4 8
        TranslateY   0.4 3  Sharpness    0.2 6
        Brightness   0.9 6  Color        0.2 8
        Solarize     0.5 2  Invert       0.0 3
        Equalize     0.2 0  AutoContrast 0.6 0
        Equalize     0.2 8  Equalize     0.6 4
        Color        0.9 9  Equalize     0.6 6
        AutoContrast 0.8 4  Solarize     0.2 8
        Brightness   0.1 3  Color        0.7 0
        Solarize     0.4 5  AutoContrast 0.9 3
        TranslateY   0.9 9  TranslateY   0.7 9
        AutoContrast 0.9 2  Solarize     0.8 3
        Equalize     0.8 8  Invert       0.1 3
        TranslateY   0.7 9  AutoContrast 0.9 1
        """
    ),
    "imagenet": _parse(
        """
        Posterize    0.4 8  Rotate       0.6 9
        Solarize     0.6 5  AutoContrast 0.6 5
        Equalize     0.8 8  Equalize     0.6 3
        Posterize    0.6 7  Posterize    0.6 6
        Equalize     0.4 7  Solarize     0.2 4
        Equalize     0.4 4  Rotate       0.8 8
        Solarize     0.6 3  Equalize     0.6 7
        Posterize    0.8 5  Equalize     1.0 2
        Rotate       0.2 3  Solarize     0.6 8
        Equalize     0.6 8  Posterize    0.4 6
        Rotate       0.8 8  Color        0.4 0
        Rotate       0.4 9  Equalize     0.6 2
        Equalize     0.0 7  Equalize     0.8 8
        Invert       0.6 4  Equalize     1.0 8
        Color        0.6 4  Contrast     1.0 8
        Rotate       0.8 8  Color        1.0 2
        Color        0.8 8  Solarize     0.8 7
        Sharpness    0.4 7  Invert       0.6 8
        ShearX       0.6 5  Equalize     1.0 9
        Color        0.4 0  Equalize     0.6 3
        Equalize     0.4 7  Solarize     0.2 4
        Solarize     0.6 5  AutoContrast 0.6 5
        Invert       0.6 4  Equalize     1.0 8
        Color        0.6 4  Contrast     1.0 8
        Equalize     0.8 8  Equalize     0.6 3
        """
    ),
}
# How far the highest level moves an image, as a part of its side: 10 of 32 pixels in
# the code for CIFAR-10, 150 of 331 in table 6.
TRANSLATION = {"cifar10": 10 / 32, "imagenet": 150 / 331}
# arXiv 1909.13719, section 3: all that AutoAugment has, less Invert.
RANDAUGMENT = tuple(name for name in operations.KINDS if name != "Invert")

AUTOAUGMENT_DRAWS = 5  # The sub-policy; whether and in which direction, twice.


def autoaugment(name: str, image_shape: tuple[int, int]) -> Policy:
    """Return the policy: each image draws one of 25 pairs of operations.

    Args:
        name: One of AUTOAUGMENT.
        image_shape: (H, W).

    Returns:
        A function of uint8 images `[B, H, W, C]` and uniform `[B, AUTOAUGMENT_DRAWS]`.
    """
    policy, translation = AUTOAUGMENT[name], TRANSLATION[name]

    def augment(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        chosen = tf.cast(uniform[:, 0] * len(policy), tf.int32)
        for layer in range(2):
            steps = [sub_policy[layer] for sub_policy in policy]
            rows = _rows([(n, m) for n, _, m in steps], image_shape, translation)
            probabilities = np.array([p for _, p, _ in steps], np.float32)
            happens = uniform[:, 1 + 2 * layer] < tf.gather(probabilities, chosen)
            taken = _take(rows, chosen, uniform[:, 2 + 2 * layer])
            nothing = operations.row("Identity", 0, 1, image_shape, translation)
            taken = tf.where(happens[:, None], taken, nothing)
            images = operations.apply(images, taken, {n for n, _, _ in steps})
        return images

    return augment


def randaugment(layers: int, magnitude: int, image_shape: tuple[int, int]) -> Policy:
    """Return RandAugment, arXiv 1909.13719: operations that all have one level.

    Args:
        layers: Operations on each image, one after the other.
        magnitude: Their level, from 0 to operations.MAX_LEVEL.
        image_shape: (H, W).

    Returns:
        A function of uint8 images `[B, H, W, C]` and uniform `[B, 2 * layers]`.
    """
    steps = [(name, magnitude) for name in RANDAUGMENT]
    rows = _rows(steps, image_shape, TRANSLATION["imagenet"])

    def augment(images: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        for layer in range(layers):
            chosen = tf.cast(uniform[:, 2 * layer] * len(steps), tf.int32)
            taken = _take(rows, chosen, uniform[:, 2 * layer + 1])
            images = operations.apply(images, taken, set(RANDAUGMENT))
        return images

    return augment


def _rows(
    steps: Sequence[tuple[str, int]], image_shape: tuple[int, int], translation: float
) -> np.ndarray:
    """Return the rows of (name, level), each with both signs: int32 `[2 * N, 8]`."""
    return np.array(
        [
            operations.row(name, level, sign, image_shape, translation)
            for name, level in steps
            for sign in (1, -1)
        ],
        np.int32,
    )


def _take(rows: np.ndarray, chosen: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Return the chosen rows, of the sign that a draw `[B]` says: int32 `[B, 8]`."""
    return tf.gather(rows, 2 * chosen + tf.cast(uniform < 0.5, tf.int32))
