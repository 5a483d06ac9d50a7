"""The two gradients of Sharpness-Aware Minimization: Algorithm 1 of arXiv 2010.01412.

    w  --batch_gradient-->  g  --perturbation-->  e  --batch_gradient at w + e-->  g_sam

Pure functions of tensors. The weights are never written: the second gradient is taken
at the tensors `w + e`, so nothing has to be restored. Works in any float type, under
`tf.function` or not, and needs nothing else of this package.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# From weights to (scalar loss, whatever else the caller wants back).
LossFn = Callable[[list[tf.Tensor]], tuple[tf.Tensor, Any]]

# Keeps rho * g / ||g|| finite at g = 0; far below any norm seen in training.
NORM_EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class SamGradient:
    """The results of the two passes of a SAM step."""

    gradient: list[tf.Tensor]  # At w + e, for the optimizer.
    loss: tf.Tensor  # At w.
    perturbed_loss: tf.Tensor  # At w + e.
    ascent_norm: tf.Tensor  # ||g||_2, of the gradient at w.
    aux: Any  # The other results of loss_fn, at w.
    perturbed_aux: Any  # The same, at w + e.


def batch_gradient(
    loss_fn: LossFn, weights: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor], Any]:
    """Return (loss, gradient, aux) of `loss_fn` at `weights`.

    A weight that the loss does not depend on has a gradient of zeros.
    """
    weights = [tf.convert_to_tensor(weight) for weight in weights]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        loss, aux = loss_fn(weights)
    gradient = tape.gradient(
        loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return loss, [tf.convert_to_tensor(g) for g in gradient], aux


def squared_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return ||t||_2^2 over all the tensors as one vector, a scalar."""
    return tf.add_n([tf.reduce_sum(tf.square(t)) for t in tensors])


def perturbation(
    gradient: Sequence[tf.Tensor], rho: float, norm: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Return e(w) = rho * g / ||g||_2, equation 2 with p = 2.

    Args:
        gradient: The gradient g, one tensor per weight.
        rho: The radius of the ball in which the ascent stays.
        norm: The norm ||g||_2 if the caller has it, or another scalar to divide by.
    """
    if norm is None:
        norm = tf.sqrt(squared_norm(gradient))
    scale = rho / (norm + NORM_EPSILON)
    return [scale * g for g in gradient]


def perturb(
    weights: Sequence[tf.Tensor], ascent: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Return w + e as new tensors."""
    return [weight + e for weight, e in zip(weights, ascent, strict=True)]


def gradient(
    loss_fn: LossFn, weights: Sequence[tf.Tensor], rho: float = 0.05
) -> SamGradient:
    """Return the SAM gradient, equation 3: the gradient of the loss at w + e(w).

    It is for one's own loop on one replica; `algorithm.replica_step` uses the same
    functions for many.

    Args:
        loss_fn: A function called twice, with `weights` and with `w + e`. Its
            randomness must be the same in both calls.
        weights: Tensors or variables of one float type; never written.
        rho: The radius of the ascent; 0 gives the plain gradient, in one pass.
    """
    weights = [tf.convert_to_tensor(weight) for weight in weights]
    loss, clean, aux = batch_gradient(loss_fn, weights)
    norm = tf.sqrt(squared_norm(clean))
    if rho == 0:
        return SamGradient(clean, loss, loss, norm, aux, aux)
    ascent = perturbation(clean, rho, norm)
    perturbed_loss, sam_gradient, perturbed_aux = batch_gradient(
        loss_fn, perturb(weights, ascent)
    )
    return SamGradient(sam_gradient, loss, perturbed_loss, norm, aux, perturbed_aux)
