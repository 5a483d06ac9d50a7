"""Evaluation sums against a NumPy count, padding and all."""

import numpy as np

from sam_pod.step import metrics


def test_means_count_every_example_once_whatever_stands_in_the_padding():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(25, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 25).astype(np.int32)
    rows = []
    for start in range(0, 25, 8):
        batch = logits[start : start + 8]
        real = len(batch)
        padded = np.full((8, 4), np.nan, np.float32)
        padded[:real] = batch
        label = np.zeros(8, np.int32)
        label[:real] = labels[start : start + 8]
        mask = (np.arange(8) < real).astype(np.float32)
        rows.append(np.stack(metrics.evaluation_sums(padded, label, mask)))
    result = metrics.evaluation_means(np.stack(rows))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert result.num_examples == 25
    assert result.accuracy == (logits.argmax(1) == labels).mean()
    expected = -np.log(p[np.arange(25), labels]).mean()
    np.testing.assert_allclose(result.loss, expected, rtol=1e-6)
