"""Reads that fail are repeated in their place, and nothing is skipped."""

import time

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input import attempts
from sam_pod.storage import retries


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(retries, "LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(retries._Policy, "seconds", 0.004)


def failing(number, times, tried):
    """Return a dataset of `number`, but for the first `times` that it is asked."""

    def read():
        count = tried.assign_add(tf.one_hot(number, tried.shape[0], dtype=tf.int64))
        with tf.control_dependencies(
            [
                tf.debugging.Assert(
                    count[number] > tf.cast(times, tf.int64), ["no answer"]
                )
            ]
        ):
            return tf.identity(number)

    return tf.data.Dataset.from_tensors(0).map(lambda _: read())


def read_all(times, count=12):
    """Return what is read of 12 things of which each third fails so often."""
    tried = tf.Variable(tf.zeros([count], tf.int64))
    numbers = tf.data.Dataset.range(count).map(
        lambda number: attempts.persistent(
            failing(number, times * tf.cast(number % 3 == 1, tf.int64), tried)
        ).get_single_element(),
        num_parallel_calls=4,
    )
    return numbers, tried


def test_what_fails_for_a_while_is_read_in_its_place():
    numbers, tried = read_all(times=4)
    assert list(numbers.as_numpy_iterator()) == list(range(12))
    np.testing.assert_array_equal(tried, [1, 5, 1] * 4)


def test_what_fails_to_the_end_is_an_error_and_not_skipped():
    numbers, _ = read_all(times=5)
    seen = iter(numbers.as_numpy_iterator())
    assert next(seen) == 0
    with pytest.raises(tf.errors.InvalidArgumentError, match="no answer"):
        next(seen)


def test_pauses_are_kept():
    retries.limit_to(0.3)
    tried = tf.Variable(tf.zeros([1], tf.int64))
    dataset = attempts.persistent(failing(tf.constant(0, tf.int64), 300, tried))
    start = time.monotonic()
    assert list(dataset.as_numpy_iterator()) == [0]
    assert time.monotonic() - start >= 0.3


def test_many_elements_come_whole_or_once_more():
    """The first attempt fails after the second of three."""
    tried = tf.Variable(0)

    def read(number):
        first = tf.equal(tried.assign_add(1), 3)
        with tf.control_dependencies([tf.debugging.Assert(~first, ["no answer"])]):
            return tf.identity(number)

    whole = tf.data.Dataset.range(3).map(read).batch(3)
    (batch,) = attempts.persistent(whole).as_numpy_iterator()
    np.testing.assert_array_equal(batch, [0, 1, 2])
    assert tried.numpy() == 6
