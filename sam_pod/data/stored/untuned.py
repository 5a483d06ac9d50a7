"""Input that TensorFlow does not tune, so that what reads it ends at once."""

from collections.abc import Iterable, Iterator
from typing import Any

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


def iterator(batches: Iterable[Any]) -> Iterator[Any]:
    """Return an iterator over a strategy's batches that is dropped without a wait.

    On each device TensorFlow puts an iterator of its own behind that of the dataset,
    and tunes it whatever the options of the dataset are. At the end of a run on the
    digits the wait for it took 15 to 60 s.
    """
    # Its options have no public way to them; seen in TensorFlow 2.16.2 and 2.21.
    from tensorflow.python.data.ops import multi_device_iterator_ops

    name = "_create_device_dataset"
    create = getattr(multi_device_iterator_ops, name, None)
    if create is None:
        return iter(batches)
    setattr(multi_device_iterator_ops, name, lambda *args: untuned(create(*args)))
    try:
        return iter(batches)
    finally:
        setattr(multi_device_iterator_ops, name, create)
