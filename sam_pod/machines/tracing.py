"""What is being traced, where that decides how something is best computed."""

import tensorflow as tf


def is_for_a_tpu() -> bool:
    """Return whether this is the trace of a step that a TPU will run."""
    strategy = tf.distribute.get_strategy()
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return is_tpu and not tf.executing_eagerly()
