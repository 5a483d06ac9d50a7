"""Balls around the weights in which the loss may rise: {T u: ||u||_p <= rho}.

T is 1, or |w| for adaptive sharpness (ASAM, arXiv 2102.11600): there a weight that is
0 stays. All that moves is u, so that an adaptive ball needs no projection of its own.
"""

import re
from typing import NamedTuple

import tensorflow as tf

from sam_pod import errors
from sam_pod.sam import gradients
from sam_pod.sam.gradients import NORM_EPSILON, Tensors

_SPECIFICATION = re.compile(r"(adaptive-)?(2|inf):([0-9.eE+-]+)")


class Ball(NamedTuple):
    """A norm, a radius and whether it is adaptive: numbers, or tensors of them.

    Tensors let one program serve every ball.
    """

    is_inf: bool | tf.Tensor  # p = inf, and not 2.
    is_adaptive: bool | tf.Tensor
    rho: float | tf.Tensor

    @property
    def name(self) -> str:
        """The ball as --balls has it."""
        kind = "adaptive-" if self.is_adaptive else ""
        return f"{kind}{'inf' if self.is_inf else '2'}:{self.rho:g}"

    def scale(self, weights: Tensors) -> Tensors:
        """Return T of each weight."""
        return [tf.where(self.is_adaptive, tf.abs(w), tf.ones_like(w)) for w in weights]

    def direction(self, gradient: Tensors) -> Tensors:
        """Return the step of length 1 along which <gradient, u> grows most."""
        norm = gradients.norm(gradient) + NORM_EPSILON
        return [tf.where(self.is_inf, tf.sign(g), g / norm) for g in gradient]

    def project(self, u: Tensors) -> Tensors:
        """Return the nearest point of the ball."""
        rho = tf.cast(self.rho, u[0].dtype)
        shrink = tf.minimum(tf.ones_like(rho), rho / (gradients.norm(u) + NORM_EPSILON))
        return [
            tf.where(self.is_inf, tf.clip_by_value(t, -rho, rho), shrink * t) for t in u
        ]

    def draw(self, weights: Tensors, key: tf.Tensor) -> Tensors:
        """Return a random u: uniform on the sphere, or in the cube for p = inf."""
        drawn = []
        for i, weight in enumerate(weights):
            own = tf.random.experimental.stateless_fold_in(key, i)
            normal = tf.random.stateless_normal(weight.shape, own, dtype=weight.dtype)
            # Normal numbers made uniform: one draw serves both.
            uniform = tf.math.erf(normal / 2**0.5)
            drawn.append(tf.where(self.is_inf, uniform, normal))
        rho = tf.cast(self.rho, drawn[0].dtype)
        length = tf.where(self.is_inf, tf.ones([], rho.dtype), gradients.norm(drawn))
        return [rho / length * t for t in drawn]


def parse(text: str) -> Ball:
    """Return the ball that a text names: '2:0.05', 'adaptive-inf:0.002'.

    Raises:
        UserError: it names none.
    """
    match = _SPECIFICATION.fullmatch(text)
    try:
        rho = float(match[3]) if match else 0.0
    except ValueError:
        rho = 0.0
    if not 0 < rho < float("inf"):
        raise errors.UserError(
            f"--balls: {text!r} is no ball; it must be [adaptive-]P:RHO, P being 2 or "
            "inf and RHO above 0, such as 2:0.05 or adaptive-inf:0.002."
        )
    return Ball(match[2] == "inf", bool(match[1]), rho)
