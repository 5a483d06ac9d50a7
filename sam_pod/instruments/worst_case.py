"""How far the loss of a few examples rises within a ball around the weights.

Of m examples: the worst point is looked for by projected ascent with restarts, and the
average is over random points of the ball. Both are pure functions of tensors.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from sam_pod import sam
from sam_pod.instruments.balls import Ball
from sam_pod.sam.gradients import Tensors

# From weights to the mean loss of the examples, a scalar.
LossFn = Callable[[Tensors], tf.Tensor]


class Worst(NamedTuple):
    """Losses of one group of examples."""

    at_weights: tf.Tensor
    single_step: tf.Tensor  # At rho g / ||g||, SAM's own w + e.
    worst: tf.Tensor  # The highest of all points looked at.


def worst(
    loss_fn: LossFn,
    weights: Tensors,
    ball: Ball,
    *,
    restarts: int,
    steps: int,
    key: tf.Tensor,
) -> Worst:
    """Return the highest loss that projected ascents find in a ball.

    The first ascent starts at w, and its first step is SAM's; the others start at
    random points. Step t of `steps` has the length rho (1 - t / steps). The highest
    loss is kept, wherever it was met, so it is never below that of a single step, nor
    below that at w.

    Args:
        loss_fn: A function that is traced once.
        weights: w.
        ball: Where the ascents stay.
        restarts: The ascents from random points.
        steps: The steps of each ascent, 1 at least.
        key: An int32 `[2]` key of the random points.
    """
    scale = ball.scale(weights)
    looks = steps + 1  # Of each ascent: before each step, and at its end.
    zero = [tf.zeros_like(w) for w in weights]

    def body(i: tf.Tensor, found: Worst, u: Tensors) -> tuple:
        restart, t = i // looks, i % looks
        start_key = tf.random.experimental.stateless_fold_in(key, restart)
        is_new = tf.logical_and(t == 0, restart > 0)
        u = tf.cond(is_new, lambda: ball.draw(weights, start_key), lambda: u)
        loss, gradient, _ = sam.batch_gradient(
            lambda points: (loss_fn(points), None), _moved(weights, scale, u)
        )
        found = Worst(
            tf.where(i == 0, loss, found.at_weights),
            tf.where(i == 1, loss, found.single_step),
            tf.where(loss > found.worst, loss, found.worst),  # NaN is none.
        )
        length = tf.cast(ball.rho, loss.dtype) * (1 - tf.cast(t, loss.dtype) / steps)
        ahead = ball.direction([s * g for s, g in zip(scale, gradient, strict=True)])
        u = ball.project([a + length * d for a, d in zip(u, ahead, strict=True)])
        return i + 1, found, u

    count = (restarts + 1) * looks
    nothing = tf.zeros([], weights[0].dtype)
    _, found, _ = tf.while_loop(
        lambda i, *_: i < count,
        body,
        (tf.constant(0), Worst(nothing, nothing, nothing - float("inf")), zero),
        parallel_iterations=1,
        maximum_iterations=count,
    )
    return found


def average(
    loss_fn: LossFn, weights: Tensors, ball: Ball, *, draws: int, key: tf.Tensor
) -> tf.Tensor:
    """Return the mean loss at random points of a ball: see `Ball.draw`.

    Args:
        loss_fn: A function that is traced once.
        weights: w.
        ball: Where the points are.
        draws: The number of points.
        key: An int32 `[2]` key of theirs.
    """
    scale = ball.scale(weights)

    def body(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        u = ball.draw(weights, tf.random.experimental.stateless_fold_in(key, i))
        return i + 1, total + loss_fn(_moved(weights, scale, u))

    _, total = tf.while_loop(
        lambda i, _: i < draws,
        body,
        (tf.constant(0), tf.zeros([], weights[0].dtype)),
        parallel_iterations=1,
        maximum_iterations=draws,
    )
    return total / draws


def _moved(weights: Tensors, scale: Tensors, u: Tensors) -> Tensors:
    return [w + s * a for w, s, a in zip(weights, scale, u, strict=True)]
