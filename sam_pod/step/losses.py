"""Losses and correctness per example, as pure functions of logits."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of each example in nats: `[B, K]`, labels -> `[B]`.

    Labels are classes, int32 `[B]`, or the part of each class, floating `[B, K]`.
    """
    if len(labels.shape) == 2:
        labels = tf.cast(labels, logits.dtype)
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return 1.0 where the largest logit is the label's: `[B, K]`, labels -> `[B]`.

    For a label of several classes, the one with the largest part counts.
    """
    if len(labels.shape) == 2:
        labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
    predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.cast(predicted == labels, tf.float32)


def correct_in_top(logits: tf.Tensor, labels: tf.Tensor, count: int) -> tf.Tensor:
    """Return 1.0 where the label's logit is among the `count` largest: `[B]`.

    Args:
        logits: `[B, K]`.
        labels: Classes, int32 `[B]`.
        count: Below K. Of equal logits that of the lower class comes first.
    """
    own = tf.gather(logits, labels, axis=-1, batch_dims=1)[:, None]
    is_before = tf.range(logits.shape[-1]) < labels[:, None]
    ahead = (logits > own) | ((logits == own) & is_before)
    return tf.cast(tf.reduce_sum(tf.cast(ahead, tf.int32), axis=-1) < count, tf.float32)
