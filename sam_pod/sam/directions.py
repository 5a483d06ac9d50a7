"""Where an ascent goes: the maximizers of <g, e> over balls of several norms.

Equation 2 of arXiv 2010.01412 for p = 2, inf and 1, with a scaling T of the weights
(ASAM, arXiv 2102.11600) or layer by layer.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from sam_pod.sam import gradients
from sam_pod.sam.gradients import NORM_EPSILON, Tensors


class Keys(NamedTuple):
    """What an ascent draws random numbers from: int32 `[2]` each."""

    step: tf.Tensor  # The same for all that take the step.
    learner: tf.Tensor  # Another for each that ascends by itself.


class Direction(NamedTuple):
    """Where one learner ascends: e(w) = rho * tensors / norm."""

    tensors: Tensors  # One per perturbed weight.
    squared_norm: tf.Tensor  # The square of `train/grad_norm`, a scalar.
    is_divided: bool = True  # By that norm, before rho is applied.
    limit: tf.Tensor | None = None  # A limit of rho: the smaller of the two counts.
    metrics: tuple[tf.Tensor, ...] = ()  # Scalars, for the names that a member lists.


# (gradient, weights, memory, keys) -> direction; of the perturbed weights only. The
# gradient of a member that needs none is [], and the keys of one that draws none None.
Direct = Callable[
    [Tensors, Tensors, dict[str, Tensors], Keys | None],
    Direction,
]


# From weights to T of each, broadcast to its shape; None stands for 1.
Scale = Callable[[Tensors], list[tf.Tensor | None]]


def perturbation(
    gradient: Sequence[tf.Tensor],
    rho: float | tf.Tensor,
    norm: tf.Tensor | None = None,
) -> Tensors:
    """Return e(w) = rho * g / ||g||_2, equation 2 with p = 2.

    Args:
        gradient: g, one tensor per weight.
        rho: Radius of the ball in which the ascent stays.
        norm: ||g||_2 when the caller has it, or another scalar to divide by.
    """
    if norm is None:
        norm = gradients.norm(gradient)
    if tf.is_tensor(rho):
        rho = tf.cast(rho, norm.dtype)
    scale = rho / (norm + NORM_EPSILON)
    return [scale * g for g in gradient]


def ascent(
    direction: Direction, rho: float | tf.Tensor, norm: tf.Tensor | None = None
) -> Tensors:
    """Return e(w) of a direction.

    Args:
        direction: A direction, as returned by a member.
        rho: The radius.
        norm: A divisor in place of the direction's own norm.
    """
    if direction.limit is not None:
        rho = tf.minimum(tf.cast(rho, direction.limit.dtype), direction.limit)
    if direction.is_divided:
        if norm is None:
            norm = tf.sqrt(direction.squared_norm)
        return perturbation(direction.tensors, rho, norm)
    if tf.is_tensor(rho):
        rho = tf.cast(rho, direction.squared_norm.dtype)
    return [rho * tensor for tensor in direction.tensors]


def euclidean(gradient: Tensors, weights: Tensors, memory, keys) -> Direction:  # noqa: ANN001
    """Return g, to be divided by ||g||_2: p = 2."""
    del weights, memory, keys
    return Direction(gradient, gradients.squared_norm(gradient))


def signs(gradient: Tensors, weights: Tensors, memory, keys) -> Direction:  # noqa: ANN001
    """Return sign(g): p = inf, where each weight moves by rho."""
    del weights, memory, keys
    signs = [tf.sign(g) for g in gradient]
    return Direction(signs, gradients.squared_norm(gradient), is_divided=False)


def largest(gradient: Tensors, weights: Tensors, memory, keys) -> Direction:  # noqa: ANN001
    """Return the sign of the largest |g_i| alone: p = 1, where one weight moves.

    Of equal ones the first moves, in the order of the weights.
    """
    del weights, memory, keys
    empty = [g.shape.num_elements() == 0 for g in gradient]
    flat = [
        tf.zeros([1], g.dtype) if is_empty else tf.reshape(g, [-1])
        for g, is_empty in zip(gradient, empty, strict=True)
    ]
    places = [tf.argmax(tf.abs(g), output_type=tf.int32) for g in flat]
    maxima = [tf.abs(g)[place] for g, place in zip(flat, places, strict=True)]
    chosen = tf.argmax(tf.stack(maxima), output_type=tf.int32)
    tensors = []
    for i, (g, place) in enumerate(zip(flat, places, strict=True)):
        is_it = (tf.range(g.shape[0]) == place) & (chosen == i)
        one = tf.where(is_it, tf.sign(g), tf.zeros([], g.dtype))
        tensors.append(gradient[i] if empty[i] else tf.reshape(one, gradient[i].shape))
    return Direction(tensors, gradients.squared_norm(gradient), is_divided=False)


def layer_by_layer(rule: str) -> Direct:
    """Return the direction whose length each tensor of weights has for itself.

    Args:
        rule: 'trust', e = rho ||w_l|| / ||g_l|| g_l, or 'unit', e = rho / ||g_l|| g_l.
    """

    def direct(gradient: Tensors, weights: Tensors, memory, keys) -> Direction:  # noqa: ANN001
        del memory, keys
        tensors, squares = [], [gradients.squared_norm([g]) for g in gradient]
        for g, w, square in zip(gradient, weights, squares, strict=True):
            scale = gradients.norm([w]) if rule == "trust" else tf.ones([], g.dtype)
            tensors.append(scale / (tf.sqrt(square) + NORM_EPSILON) * g)
        total = gradients.sum_in_order(squares)
        return Direction(tensors, total, is_divided=False)

    return direct


def scaled(scale: Scale, p: str = "2") -> Direct:
    """Return the direction of an adaptive ascent: T^2 g over ||T g||_2, or T sign(g).

    Args:
        scale: A function from weights to T.
        p: '2' or 'inf'.
    """

    def direct(gradient: Tensors, weights: Tensors, memory, keys) -> Direction:  # noqa: ANN001
        del memory, keys
        scales = scale(weights)
        if p == "inf":
            tensors = _times(scales, [tf.sign(g) for g in gradient])
            square = gradients.squared_norm(gradient)
            return Direction(tensors, square, is_divided=False)
        once = _times(scales, gradient)
        return Direction(_times(scales, once), gradients.squared_norm(once))

    return direct


def _times(scales: list[tf.Tensor | None], tensors: Tensors) -> Tensors:
    return [
        t if scale is None else scale * t
        for scale, t in zip(scales, tensors, strict=True)
    ]


LAYERWISE = ("", "trust", "unit")
BY_NORM: dict[str, Direct] = {"2": euclidean, "inf": signs, "1": largest}
