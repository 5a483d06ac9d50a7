"""Rows of metrics as TensorBoard's events: those of many steps in one compiled call.

One by one they cost two milliseconds a step, as long as the step of a small network:
the devices would wait for them between loops.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

# Fewer rows are written one by one: to compile costs as much as some hundred.
MANY = 32


def writing(
    writer: tf.summary.SummaryWriter, names: Sequence[str], num_always: int
) -> Callable[[np.ndarray, int], None]:
    """Return the function that writes rows from a step on.

    What it writes is what `tf.summary.scalar` does for each number in its order; it is
    compiled at the first call.

    Args:
        writer: TensorFlow's writer.
        names: The names of a row's numbers.
        num_always: How many of them every row has; of the rest NaN is left out.
    """

    def put(row: tf.Tensor, step: tf.Tensor, place: int) -> tf.Tensor:
        with tf.name_scope(""):  # Else a scope would be part of the name.
            return tf.summary.scalar(names[place], row[place], step=step)

    def one(i: tf.Tensor, rows: tf.Tensor, first: tf.Tensor) -> None:
        step = first + tf.cast(i, tf.int64)
        for place in range(len(names)):
            if place < num_always:
                put(rows[i], step, place)
                continue
            tf.cond(
                tf.math.is_nan(rows[i, place]),
                lambda: False,
                lambda place=place: put(rows[i], step, place),
            )

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, len(names)], tf.float32),
            tf.TensorSpec([], tf.int64),
        ],
    )
    def all_of(rows: tf.Tensor, first: tf.Tensor) -> None:
        def body(i: tf.Tensor) -> tuple[tf.Tensor]:
            one(i, rows, first)
            return (i + 1,)

        # One after the other, in the order of the steps.
        count = tf.shape(rows)[0]
        tf.while_loop(
            lambda i: i < count, body, (tf.constant(0),), parallel_iterations=1
        )

    def write(rows: np.ndarray, first: int) -> None:
        with writer.as_default():
            all_of(tf.constant(rows, tf.float32), tf.constant(first, tf.int64))

    return write
