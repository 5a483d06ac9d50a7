"""Losses and correctness per example, as pure functions of logits."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of each example in nats: `[B, K]`, `[B]` -> `[B]`."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return 1.0 where the largest logit is the label's: `[B, K]`, `[B]` -> `[B]`."""
    predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.cast(predicted == labels, tf.float32)
