"""The mean of a function over the chunks of a batch, one chunk in memory at a time."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

# Lists, tuples and NamedTuples of tensors.
Nest = TypeVar("Nest")


def mean(fn: Callable[[tf.Tensor], Nest], num_chunks: int, like: Nest) -> Nest:
    """Return the mean of `fn(chunk)` over int32 `chunk` in [0, num_chunks).

    It is a `tf.while_loop`, so that a compiler cannot hold the activations of two
    chunks at once. Tensors that are not floating keep the value of the last chunk.

    Args:
        fn: A function from the number of a chunk to tensors in a nest.
        num_chunks: The number of chunks, above 0.
        like: The same nest, of tensors of the shapes and types that `fn` returns.
    """

    def body(chunk: tf.Tensor, *sums: tf.Tensor) -> list[tf.Tensor]:
        new = tf.nest.flatten(fn(chunk))
        added = [
            total + value if value.dtype.is_floating else value
            for total, value in zip(sums, new, strict=True)
        ]
        return [chunk + 1, *added]

    _, *sums = tf.while_loop(
        lambda chunk, *_: chunk < num_chunks,
        body,
        [tf.constant(0), *(tf.zeros_like(tensor) for tensor in tf.nest.flatten(like))],
        parallel_iterations=1,
        maximum_iterations=num_chunks,
    )
    means = [s / num_chunks if s.dtype.is_floating else s for s in sums]
    return tf.nest.pack_sequence_as(like, means)
