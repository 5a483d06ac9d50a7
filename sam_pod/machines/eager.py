"""Operations outside of functions, on variables and iterators of other hosts."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Leave a block of eager operations when all hosts have done them.

    Over gRPC an assignment returns before its host has taken it, and a `tf.function`
    does not wait for it: it reads what was there before, and finds that an iterator is
    not initialized (findings/write_before_function.sh). Within one process there is
    nothing to wait for.
    """
    with tf.experimental.async_scope():
        yield


def assign(variables: Iterable[tf.Variable], values: Iterable[Any]) -> None:
    """Give variables new values, on all replicas, before any function reads them."""
    with settled():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
