"""Who ascends together: the groups of a global batch, and the rows each replica takes.

SAM with m-sharpness (arXiv 2010.01412, section 4.1) splits a global batch into groups
of m examples, each of which ascends by itself. A group here is the same micro-batch of
`size` neighbouring replicas: m = size * per_replica_batch_size / micro_batches. Groups
always hold consecutive rows of the global batch, so every mix of replicas, groups and
micro-batches that gives the same m computes the same update.
"""

from typing import NamedTuple

import tensorflow as tf

from sam_pod import errors

NAMES = ("global", "replica", "norm")


class Groups(NamedTuple):
    """Who ascends together."""

    size: int | None = None  # So many neighbouring replicas; None for all there are.
    shares_norm: bool = False  # Each divides by the root mean square of all norms.

    def among(self, num_replicas: int) -> int:
        """Return how many of so many replicas ascend together."""
        return self.size or num_replicas


def of(sync: str) -> Groups:
    """Return the groups that `sam.sync` names.

    Raises:
        UserError: there is no such name.
    """
    if sync.lstrip("-").isdecimal():
        return Groups(int(sync))
    errors.lookup(dict.fromkeys(NAMES), sync, "sam.sync")
    return Groups(None if sync == "global" else 1, shares_norm=sync == "norm")


def size(sync: str, num_replicas: int) -> int:
    """Return how many replicas ascend together under `sam.sync`.

    Raises:
        UserError: no such name, or a number that does not divide the replicas.
    """
    groups = of(sync)
    if groups.size is not None and (groups.size < 1 or num_replicas % groups.size):
        divisors = [n for n in range(1, num_replicas + 1) if num_replicas % n == 0]
        raise errors.UserError(
            f"`sam.sync` is {sync}; a group's size must divide the number of replicas "
            f"({num_replicas}): take one of {divisors}, or 'global'."
        )
    return groups.among(num_replicas)


def rows(
    replica: tf.Tensor,
    per_replica_batch_size: int,
    group_size: int = 1,
    micro_batches: int = 1,
) -> tf.Tensor:
    """Return which rows of a global batch a replica takes, in its order, int64 `[B]`.

    Its micro-batches follow one another; each is this replica's share of a group.
    """
    replica = tf.cast(replica, tf.int64)
    share = per_replica_batch_size // micro_batches
    first = replica // group_size * (group_size * per_replica_batch_size)
    first += replica % group_size * share
    groups = tf.range(micro_batches, dtype=tf.int64)[:, None] * (group_size * share)
    return tf.reshape(first + groups + tf.range(share, dtype=tf.int64), [-1])
