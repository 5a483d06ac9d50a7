"""Writes to variables between compiled loops."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Leave a block of eager writes when the variables of all hosts have them.

    Over gRPC a write returns before its host has taken it, and a `tf.function` does not
    wait for it: it reads what was there before (findings/write_before_function.sh).
    Within one process there is nothing to wait for.
    """
    with tf.experimental.async_scope():
        yield
