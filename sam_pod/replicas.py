"""The only place that speaks across replicas.

Each function takes a list of tensors and reduces it as one bucket: one call of
`ReplicaContext.all_reduce` packs the list into one collective on CPU and GPU, and the
TPU compiler fuses what belongs to one list. Call them inside `strategy.run`.
"""

from collections.abc import Sequence

import tensorflow as tf


def mean(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the mean over all replicas of each tensor, the same on every replica."""
    return _all_reduce(tf.distribute.ReduceOp.MEAN, tensors)


def total(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the sum over all replicas of each tensor, the same on every replica."""
    return _all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def own(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the tensors as they are: every replica keeps its own."""
    return list(tensors)


def index() -> tf.Tensor:
    """Return which replica this is, an int32 scalar in [0, count())."""
    context = tf.distribute.get_replica_context()
    return tf.convert_to_tensor(context.replica_id_in_sync_group, tf.int32)


def count() -> int:
    """Return the number of replicas that run this step together."""
    return tf.distribute.get_replica_context().num_replicas_in_sync


def _all_reduce(
    reduce_op: tf.distribute.ReduceOp, tensors: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    # Alone there is nothing to say; and a mean over one replica would still copy.
    if count() == 1 or not tensors:
        return list(tensors)
    context = tf.distribute.get_replica_context()
    return context.all_reduce(reduce_op, list(tensors))
