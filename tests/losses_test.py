"""Losses against NumPy."""

import numpy as np

from sam_pod import losses


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
