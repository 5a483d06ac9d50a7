import collections

import numpy as np
import pytest

from sam_pod import errors
from sam_pod.data.prepare import noise
from sam_pod.data.sources import cifar10


def flips(rate, seed=0, size=20_000, classes=10):
    made = noise.Noise(rate, seed)
    return np.array([made.flip(i, i % classes, classes) for i in range(size)])


def test_a_flipped_label_is_another_one_and_all_others_are_as_likely():
    old, new = np.arange(20_000) % 10, flips(0.4)
    wrong = old != new
    assert abs(wrong.mean() - 0.4) < 0.015  # Four deviations.
    assert flips(1.0).min() == 0 and not (flips(1.0) == old).any()
    steps = collections.Counter((flips(1.0) - old) % 10)
    assert set(steps) == set(range(1, 10))
    assert max(abs(count / 20_000 - 1 / 9) for count in steps.values()) < 0.01


def test_which_are_flipped_is_a_function_of_seed_and_index_alone():
    made = noise.Noise(0.4, 7)
    assert [made.flip(i, 3, 10) for i in (5, 2, 900_000)] == [
        noise.Noise(0.4, 7).flip(i, 3, 10) for i in (5, 2, 900_000)
    ]
    assert (flips(0.4, seed=1) != flips(0.4, seed=2)).any()
    # Those of a lower rate are among those of a higher one.
    old = np.arange(20_000) % 10
    assert not ((flips(0.2) != old) & (flips(0.4) == old)).any()


def test_these_flips_stay_the_same_for_ever():
    assert list(flips(0.4, seed=0, size=12)) == PINNED


PINNED = [1, 8, 2, 2, 7, 5, 6, 0, 8, 5, 9, 1]


CIFAR10 = cifar10.CLASSES


def drawn_again(kind, rate=0.4, size=20_000):
    made = noise.build(rate, 0, CIFAR10, kind)
    old = np.arange(size) % 10
    return old, np.array([made.flip(i, i % 10, 10) for i in range(size)])


def test_including_the_true_class_gives_a_tenth_back():
    old, new = drawn_again("including", rate=0.8)
    assert abs((old == new).mean() - 0.28) < 0.013  # Four deviations.
    every = np.bincount(drawn_again("including", rate=1.0)[1], minlength=10)
    assert abs(every / 20_000 - 0.1).max() < 0.009
    assert abs((old == flips(0.8)).mean() - 0.2) < 0.012


def test_asymmetric_noise_is_cifar_10s_usual_map():
    """Of arXiv 1609.03683: truck, bird, deer, cat and dog are taken for others."""
    pairs = zip(*drawn_again("asymmetric", rate=1.0, size=100), strict=True)
    assert {(CIFAR10[a], CIFAR10[b]) for a, b in pairs if a != b} == {
        ("truck", "automobile"),
        ("bird", "airplane"),
        ("deer", "horse"),
        ("cat", "dog"),
        ("dog", "cat"),
    }
    old, new = drawn_again("asymmetric")
    assert abs((old != new).mean() - 0.2) < 0.012


def test_all_kinds_draw_the_same_labels_again():
    old, excluding = drawn_again("excluding")
    for kind in ("including", "asymmetric"):
        assert not ((drawn_again(kind)[1] != old) & (excluding == old)).any()


def test_none_is_no_noise():
    assert noise.build(0.0, 0, ["a"]) is None
    assert noise.build(0.4, 3, ["a", "b"]) == noise.Noise(0.4, 3)


@pytest.mark.parametrize(
    "rate, seed, classes, reason",
    [
        (-0.1, 0, 10, "`label_noise` is -0.1; it must be from 0 to 1"),
        (1.1, 0, 10, "`label_noise` is 1.1"),
        (float("nan"), 0, 10, "`label_noise` is nan"),
        (0.4, -1, 10, "`noise_seed` is -1"),
        (0.4, 2**63, 10, "`noise_seed` is"),
        (0.4, 0, 1, "there is no other label to give"),
    ],
)
def test_noise_that_cannot_be_is_refused(rate, seed, classes, reason):
    with pytest.raises(errors.UserError, match=reason):
        noise.build(rate, seed, CIFAR10[:classes])


@pytest.mark.parametrize(
    "rate, classes, kind, reason",
    [
        (
            0.4,
            CIFAR10,
            "symmetric",
            "`label_noise_kind` is 'symmetric'; it must be one",
        ),
        (0.4, "ab", "asymmetric", "have no class 'airplane': take 'excluding' or"),
        (0.0, CIFAR10, "including", "`label_noise_kind` is 'including', but `label_no"),
    ],
)
def test_a_kind_that_cannot_be_is_refused(rate, classes, kind, reason):
    with pytest.raises(errors.UserError, match=reason):
        noise.build(rate, 0, classes, kind)
