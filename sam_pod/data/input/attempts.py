"""Read again what storage has failed to give, by graph operations alone.

The hosts of a slice run none of this Python, and a compiled loop that has failed cannot
continue where it was, so a read that fails is repeated inside the dataset. Nothing is
skipped: the last attempt raises the error.
"""

import tensorflow as tf

from sam_pod.storage import retries


def persistent(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the first element of a dataset, read again after pauses while that fails.

    It retries for as long as `retries` says when this is called. It costs a quarter of
    a millisecond, so it is for what comes over a network.
    """

    def read(number: tf.Tensor) -> tf.data.Dataset:
        del number
        return dataset.take(1).get_single_element()

    pauses = [0.0, *retries.pauses()]
    attempts = tf.data.Dataset.range(len(pauses) - 1).flat_map(
        lambda number: _after(tf.gather(tf.constant(pauses), number))
    )
    last = _after(tf.constant(pauses[-1]))
    # One at a time, and none after the first that succeeds.
    return attempts.map(read).ignore_errors().concatenate(last.map(read)).take(1)


def _after(seconds: tf.Tensor) -> tf.data.Dataset:
    """Return a number, after so many seconds."""
    number = tf.data.Dataset.from_tensors(tf.constant(0))
    sleeping = tf.raw_ops.SleepDataset(
        input_dataset=tf.data.experimental.to_variant(number),
        sleep_microseconds=tf.cast(seconds * 1e6, tf.int64),
        output_types=[tf.int32],
        output_shapes=[tf.TensorShape([])],
    )
    return tf.data.experimental.from_variant(sleeping, number.element_spec)
