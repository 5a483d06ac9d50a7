"""The only place that speaks across replicas.

Each function takes tensors in any nest and reduces them as one bucket: one call of
`ReplicaContext.all_reduce` packs them into one collective on CPU and GPU, and the TPU
compiler fuses what belongs to one call. Call them inside `strategy.run`.
"""

from typing import TypeVar

import tensorflow as tf

# Lists, tuples and NamedTuples of tensors.
Nest = TypeVar("Nest")


def mean(tensors: Nest) -> Nest:
    """Return the mean over all replicas of each tensor, the same on every replica."""
    return _all_reduce(tf.distribute.ReduceOp.MEAN, tensors)


def group_mean(tensors: Nest, size: int) -> Nest:
    """Return the mean over this replica's group: `size` consecutive replicas.

    On a TPU the groups are the collective's own, and consecutive replicas are
    neighbouring chips: TPUStrategy numbers them host by host, in the order of the
    topology. Elsewhere `all_reduce` has no groups, so each group adds into a row of
    its own, which is exact and costs count() / size times the bytes.
    """
    if size == 1:  # Every replica keeps its own.
        return tensors
    if size == count():
        return mean(tensors)
    means = _mean_in_groups(tf.nest.flatten(tensors), size)
    return tf.nest.pack_sequence_as(tensors, means)


def _mean_in_groups(tensors: list[tf.Tensor], size: int) -> list[tf.Tensor]:
    num_groups = count() // size
    strategy = tf.distribute.get_replica_context().strategy
    if isinstance(strategy, tf.distribute.TPUStrategy):
        members = [[g * size + i for i in range(size)] for g in range(num_groups)]
        members = tf.constant(members, tf.int32)
        sums = [
            tf.raw_ops.CrossReplicaSum(input=t, group_assignment=members)
            for t in tensors
        ]
    else:
        group = index() // size
        is_mine = tf.range(num_groups) == group
        rows = [
            tf.where(
                tf.reshape(is_mine, [-1] + [1] * t.shape.rank), t, tf.zeros([], t.dtype)
            )
            for t in map(tf.convert_to_tensor, tensors)
        ]
        sums = [row[group] for row in total(rows)]
    return [s / size for s in sums]


def total(tensors: Nest) -> Nest:
    """Return the sum over all replicas of each tensor, the same on every replica."""
    return _all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def index() -> tf.Tensor:
    """Return which replica this is, an int32 scalar in [0, count())."""
    context = tf.distribute.get_replica_context()
    return tf.convert_to_tensor(context.replica_id_in_sync_group, tf.int32)


def count() -> int:
    """Return the number of replicas that run this step together."""
    return tf.distribute.get_replica_context().num_replicas_in_sync


def _all_reduce(reduce_op: tf.distribute.ReduceOp, tensors: Nest) -> Nest:
    flat = tf.nest.flatten(tensors)
    # Alone there is nothing to say; and a mean over one replica would still copy.
    if count() == 1 or not flat:
        return tensors
    context = tf.distribute.get_replica_context()
    # What was just read from a variable has no device in a function, and the exchange
    # between workers refuses it.
    flat = [t if t.device else tf.identity(t) for t in flat]
    return tf.nest.pack_sequence_as(tensors, context.all_reduce(reduce_op, flat))
