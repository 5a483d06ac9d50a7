"""Evaluation sums against a NumPy count, padding and all."""

import keras
import numpy as np
import pytest

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


@pytest.mark.parametrize("num_classes", [6, 12])
def test_top_5_is_keras_and_counts_nothing_in_the_padding(num_classes):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(64, num_classes)).astype(np.float32)
    labels = rng.integers(0, num_classes, 64).astype(np.int32)
    mask = (np.arange(64) < 50).astype(np.float32)
    sums = metrics.evaluation_sums(logits, labels, mask)
    assert len(sums) == metrics.num_sums(num_classes) == 4
    found = metrics.evaluation_means(np.stack(sums)[None])
    theirs = keras.metrics.sparse_top_k_categorical_accuracy(labels, logits, k=5)
    expected = np.asarray(theirs)[:50].mean()
    assert found.top5_accuracy == pytest.approx(expected)
    assert found.accuracy < found.top5_accuracy < 1
    assert list(found.by_name()) == [*metrics.EVALUATED]


def test_of_equal_logits_the_first_five_classes_are_the_top():
    labels = np.arange(10).astype(np.int32)
    sums = metrics.evaluation_sums(
        np.zeros((10, 10), np.float32), labels, np.ones(10, np.float32)
    )
    assert metrics.evaluation_means(np.stack(sums)[None]).top5_accuracy == 0.5


def test_five_classes_have_no_top_5():
    sums = metrics.evaluation_sums(
        np.zeros((2, 5), np.float32), np.zeros(2, np.int32), np.ones(2, np.float32)
    )
    assert len(sums) == metrics.num_sums(5) == 3
    found = metrics.evaluation_means(np.stack(sums)[None])
    assert found.top5_accuracy is None
    assert list(found.by_name()) == ["loss", "accuracy"]
