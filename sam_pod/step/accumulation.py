"""The mean of a function over the chunks of a batch, one chunk in memory at a time."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def mean(
    fn: Callable[[tf.Tensor], list[tf.Tensor]],
    num_chunks: int,
    like: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Return the mean of `fn(chunk)` over int32 `chunk` in [0, num_chunks).

    It is a `tf.while_loop`, so that a compiler cannot hold the activations of two
    chunks at once. Tensors that are not floating keep the value of the last chunk.

    Args:
        fn: A function from the number of a chunk to some tensors.
        num_chunks: The number of chunks, above 0.
        like: A tensor of the shape and type of each that `fn` returns.
    """

    def body(chunk: tf.Tensor, *sums: tf.Tensor) -> list[tf.Tensor]:
        new = fn(chunk)
        added = [
            total + value if value.dtype.is_floating else value
            for total, value in zip(sums, new, strict=True)
        ]
        return [chunk + 1, *added]

    _, *sums = tf.while_loop(
        lambda chunk, *_: chunk < num_chunks,
        body,
        [tf.constant(0), *(tf.zeros_like(tensor) for tensor in like)],
        parallel_iterations=1,
        maximum_iterations=num_chunks,
    )
    return [s / num_chunks if s.dtype.is_floating else s for s in sums]
