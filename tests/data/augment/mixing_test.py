"""Pairs and soft labels against NumPy, pair by pair."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from sam_pod.data.augment import mixing

COUNT, CLASSES = 40, 6


@pytest.fixture
def images():
    return np.random.default_rng(0).random((COUNT, 7, 10, 3), np.float32)


@pytest.fixture
def classes():
    return np.random.default_rng(1).integers(0, CLASSES, COUNT).astype(np.int32)


@pytest.fixture
def draws():
    return np.random.default_rng(2).random((COUNT, mixing.DRAWS), np.float32)


def quantile(u, alpha):
    return scipy.stats.beta.ppf((int(u * 4096) + 0.5) / 4096, alpha, alpha)


def pairs():
    for first in range(0, COUNT, 2):
        yield (first, first, first + 1)
        yield (first, first + 1, first)


def hot(label, share=1.0):
    return np.eye(CLASSES)[label] * share


def mixed_up(images, classes, draws, alpha):
    for first, own, other in pairs():
        share = quantile(draws[first, 0], alpha)
        yield (
            images[own] * share + images[other] * (1 - share),
            hot(classes[own], share) + hot(classes[other], 1 - share),
        )


def cut_and_mixed(images, classes, draws, alpha):
    for first, own, other in pairs():
        side = np.sqrt(1 - np.float32(quantile(draws[first, 0], alpha)))
        h, w = int(side * 7), int(side * 10)
        y, x = int(draws[first, 1] * 7) - h // 2, int(draws[first, 2] * 10) - w // 2
        box = np.s_[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
        image = images[own].copy()
        image[box] = images[other][box]
        share = 1 - image[box][..., 0].size / 70
        yield image, hot(classes[own], share) + hot(classes[other], 1 - share)


REFERENCES = {"mixup": mixed_up, "cutmix": cut_and_mixed}


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("name", list(REFERENCES))
def test_it_equals_numpy(name, alpha, images, classes, draws):
    mix = getattr(mixing, name)
    labels = mixing.soften(tf.constant(classes), CLASSES)
    found = mix(tf.constant(images), labels, tf.constant(draws), alpha)
    expected = REFERENCES[name](images, classes, draws, alpha)
    for image, label, (an_image, a_label) in zip(*found, expected, strict=True):
        if name == "cutmix":
            np.testing.assert_array_equal(image, an_image)
        np.testing.assert_allclose(image, an_image, atol=1e-6)
        np.testing.assert_allclose(label, a_label, atol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(found[1], 1), 1, atol=1e-6)
    assert (found[1].numpy().max(1) < 0.999).mean() > 0.3


def test_of_two_ways_a_pair_takes_one(images, classes, draws):
    labels = mixing.soften(tf.constant(classes), CLASSES)
    found = [
        value.numpy()
        for value in mixing.either(images, labels, tf.constant(draws), 1.0, 1.0)
    ]
    ways = (
        list(mixed_up(images, classes, draws, 1.0)),
        list(cut_and_mixed(images, classes, draws, 1.0)),
    )
    taken = [0 if draws[first, 3] < 0.5 else 1 for first, _, _ in pairs()]
    assert 8 < sum(taken) < 32
    for i, way in enumerate(taken):
        np.testing.assert_allclose(found[0][i], ways[way][i][0], atol=1e-6)
        np.testing.assert_allclose(found[1][i], ways[way][i][1], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 5.0])
def test_shares_are_of_a_beta_distribution(alpha):
    shares = mixing._beta(alpha)
    assert len(shares) == 4096
    places = scipy.stats.beta.cdf(shares.astype(float), alpha, alpha)
    inside = (shares > 1e-3) & (shares < 0.999)  # float32 is coarse beside 1.
    middles = (np.arange(4096) + 0.5) / 4096
    np.testing.assert_allclose(places[inside], middles[inside], atol=1e-4)
    np.testing.assert_allclose(shares + shares[::-1], 1, atol=1e-5)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=5e-3)


def test_smoothing_shares_a_part_among_all_classes():
    labels = mixing.smooth(mixing.soften(tf.constant([1, 0]), 4), 0.2)
    np.testing.assert_allclose(
        labels, [[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]], atol=1e-7
    )


def test_partners_are_neighbours():
    np.testing.assert_array_equal(mixing.partners(tf.range(6)), [1, 0, 3, 2, 5, 4])
