"""Gradients of a loss as functions of tensors, and what is done with lists of them."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Tensors = list[tf.Tensor]
# From weights to (scalar loss, whatever else the caller wants back).
LossFn = Callable[[Tensors], tuple[tf.Tensor, Any]]
# Which weights, in their order; None for all of them, and () for none.
Mask = tuple[bool, ...] | None

# Keeps rho * g / ||g|| finite at g = 0; far below any norm seen in training.
NORM_EPSILON = 1e-12


def batch_gradient(
    loss_fn: LossFn, weights: Sequence[tf.Tensor], mask: Mask = None
) -> tuple[tf.Tensor, Tensors, Any]:
    """Return (loss, gradient, aux) of `loss_fn` at `weights`.

    A weight that the loss does not depend on has a gradient of zeros, unless there is
    no other.

    Args:
        loss_fn: A function that is called once.
        weights: Tensors or variables of one float type.
        mask: The weights whose gradient is wanted. No others cost anything, and with
            none of them the loss alone is computed.

    Raises:
        ValueError: the loss is no scalar, or depends on none of the weights whose
            gradient is wanted.
    """
    weights = [tf.convert_to_tensor(weight) for weight in weights]
    watched = select(weights, mask)
    if not watched:
        loss, aux = loss_fn(weights)
        return loss, [], aux
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(watched)
        loss, aux = loss_fn(weights)
    if loss.shape.rank not in (0, None):
        raise ValueError(
            f"the loss has the shape {loss.shape}, and its gradient would be that of "
            "the sum: return a scalar, for the examples of a batch tf.reduce_mean(loss)"
        )
    gradient = tape.gradient(loss, watched)
    if all(g is None for g in gradient):
        raise ValueError(
            "the loss does not depend on the weights that loss_fn is called with: "
            "compute it from them, with a Keras model by model.stateless_call(weights, "
            "...)"
        )
    pairs = zip(watched, gradient, strict=True)
    return loss, [_or_zeros(g, like=weight) for weight, g in pairs], aux


def _or_zeros(gradient: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    return tf.zeros_like(like) if gradient is None else tf.convert_to_tensor(gradient)


def select(tensors: Sequence[tf.Tensor], mask: Mask) -> Tensors:
    """Return the tensors that a mask names."""
    if mask is None:
        return list(tensors)
    if not mask:
        return []
    return [t for t, is_named in zip(tensors, mask, strict=True) if is_named]


def sum_in_order(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the sum of tensors that others read, too, in the same bits each time.

    On a CPU tf.add_n begins with a tensor that nobody else reads just then, in any
    order, so that rounding differs between runs and between replicas; and TensorFlow's
    optimizer makes add_n of every chain of + (findings/order_of_a_sum.sh). It leaves
    differences alone.
    """
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total - tensor * tf.cast(-1, tensor.dtype)
    return total


def squared_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return ||t||_2^2 over all the tensors as one vector, a scalar."""
    return tf.add_n([tf.reduce_sum(tf.square(t)) for t in tensors])


def norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return ||t||_2 over all the tensors as one vector, a scalar."""
    return tf.sqrt(squared_norm(tensors))


def dot(a: Sequence[tf.Tensor], b: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return <a, b> over all the tensors as one vector, a scalar."""
    return tf.add_n([tf.reduce_sum(x * y) for x, y in zip(a, b, strict=True)])


def cosine(a: Sequence[tf.Tensor], b: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the cosine of the angle between a and b; 0 where one of them is 0."""
    return dot(a, b) / (norm(a) * norm(b) + NORM_EPSILON)


def reject(
    a: Sequence[tf.Tensor], b: Sequence[tf.Tensor], square: tf.Tensor | None = None
) -> Tensors:
    """Return the part of `a` that is orthogonal to `b`; `a` where b is 0.

    Args:
        a: One tensor per weight.
        b: The same shapes.
        square: ||b||_2^2, when the caller has it.
    """
    square = squared_norm(b) if square is None else square
    share = tf.math.divide_no_nan(dot(a, b), square)
    return [x - share * y for x, y in zip(a, b, strict=True)]


def perturb(
    weights: Sequence[tf.Tensor], ascent: Sequence[tf.Tensor], mask: Mask = None
) -> Tensors:
    """Return w + e as new tensors.

    Args:
        weights: w, which stay as they are.
        ascent: e, one tensor for each weight that the mask names.
        mask: The weights that are perturbed.
    """
    if mask is None:
        return [weight + e for weight, e in zip(weights, ascent, strict=True)]
    remaining = iter(ascent)
    return [
        weight + next(remaining) if is_perturbed else weight
        for weight, is_perturbed in zip(weights, mask, strict=True)
    ]
