"""Which operations an image draws, against NumPy one image after the other."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.augment import operations, policies
from tests.data.augment import reference

SHAPE = (10, 12, 3)


def drawn(count, width):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    return images, rng.random((count, width), np.float32)


@pytest.mark.parametrize("name", list(policies.AUTOAUGMENT))
def test_autoaugment_equals_numpy(name):
    images, uniform = drawn(120, policies.AUTOAUGMENT_DRAWS)
    policy = policies.autoaugment(name, SHAPE[:2])
    translation = {"cifar10": 10 / 32, "imagenet": 150 / 331}[name]
    for run in (policy, tf.function(policy, jit_compile=True)):
        found = run(tf.constant(images), tf.constant(uniform)).numpy()
        seen = collections.Counter()
        for image, result, u in zip(images, found, uniform, strict=True):
            chosen = int(u[0] * 25)
            seen[chosen] += 1
            for layer in range(2):
                operation, probability, level = policies.AUTOAUGMENT[name][chosen][
                    layer
                ]
                if u[1 + 2 * layer] < probability:
                    sign = -1 if u[2 + 2 * layer] < 0.5 else 1
                    image = reference.operation(
                        image, operation, level, sign, translation
                    )
            np.testing.assert_array_equal(result, image, err_msg=str(chosen))
        assert len(seen) > 20


@pytest.mark.parametrize(("layers", "magnitude"), [(1, 10), (2, 9), (3, 4)])
def test_randaugment_equals_numpy(layers, magnitude):
    images, uniform = drawn(80, 2 * layers)
    policy = policies.randaugment(layers, magnitude, SHAPE[:2])
    found = policy(tf.constant(images), tf.constant(uniform)).numpy()
    for image, result, u in zip(images, found, uniform, strict=True):
        for layer in range(layers):
            name = policies.RANDAUGMENT[int(u[2 * layer] * 14)]
            sign = -1 if u[2 * layer + 1] < 0.5 else 1
            image = reference.operation(image, name, magnitude, sign, 150 / 331)
        np.testing.assert_array_equal(result, image)


def test_the_tables_are_the_papers():
    """Sums over the tables of arXiv 1805.09501, against a slip of the pen."""
    assert len(policies.RANDAUGMENT) == 14
    for name, first, last in (
        ("cifar10", (("Invert", 0.1, 7), ("Contrast", 0.2, 6)), ("AutoContrast", 0.9)),
        ("imagenet", (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)), ("Equalize", 0.6)),
    ):
        policy = policies.AUTOAUGMENT[name]
        assert len(policy) == 25
        assert policy[0] == first
        assert policy[-1][1][:2] == last
        for operation, probability, level in (step for pair in policy for step in pair):
            assert operation in operations.KINDS
            assert 0 <= probability <= 1
            assert 0 <= level < operations.MAX_LEVEL
    totals = {
        name: round(sum(p for pair in policy for _, p, _ in pair), 1)
        for name, policy in policies.AUTOAUGMENT.items()
    }
    assert totals == {"cifar10": 26.5, "imagenet": 31.0}
