"""Input that TensorFlow does not tune, so that what reads it ends at once."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the same elements, from iterators that are dropped without a wait.

    Dropping one waits for the thread that tunes it. TensorFlow wakes that thread before
    it marks the iterator as cancelled, so the thread may sleep on: about as long as the
    iterator has been there, at most a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
