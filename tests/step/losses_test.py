"""Losses against NumPy."""

import numpy as np

from sam_pod.step import losses


def test_cross_entropy_and_correct_equal_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 7)) * 5
    labels = rng.integers(0, 7, 50).astype(np.int32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(p[np.arange(50), labels])
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), expected)
    np.testing.assert_array_equal(
        losses.correct(logits, labels), logits.argmax(1) == labels
    )


def test_soft_labels_equal_numpy_and_hard_ones_are_their_corners():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 7)).astype(np.float32) * 5
    soft = rng.dirichlet(np.ones(7), 50).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        losses.cross_entropy(logits, soft), -(soft * np.log(p)).sum(1), rtol=1e-5
    )
    right = logits.argmax(1) == soft.argmax(1)
    np.testing.assert_array_equal(losses.correct(logits, soft), right)
    assert 0 < right.sum() < 50
    labels = rng.integers(0, 7, 50).astype(np.int32)
    np.testing.assert_allclose(
        losses.cross_entropy(logits, np.eye(7, dtype=np.float32)[labels]),
        losses.cross_entropy(logits, labels),
        rtol=1e-5,
    )
