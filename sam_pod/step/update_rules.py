"""Update rules that published tables need beside SGD and Adam: RMSProp, LARS, LAMB.

LARS and LAMB move each kernel by a share of its own norm. Biases and the parameters of
normalizations have no such share and no weight decay, as in both authors' code.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from sam_pod.step.optimizers import Update


def rmsprop(decay: float, momentum: float, epsilon: float, start: float) -> "Update":
    """Return RMSProp with momentum, slots 'square' and 'momentum'.

    The rate enters the momentum and epsilon stands under the root, as in Keras.

    Args:
        decay: Of the mean square, each step.
        momentum: Of the updates, in [0, 1).
        epsilon: Added to the mean square.
        start: What the mean square begins at: 0 in Keras and PyTorch, 1 in TensorFlow
            1's optimizer, which the official code of EfficientNet and SAM has.
    """

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        # Slots begin at 0: 'square' is what the mean square is above its start's rest.
        rest = start * decay ** tf.cast(step + 1, learning_rate.dtype)
        new_weights, squares, momenta = [], [], []
        for w, g, s, m in zip(
            weights, gradient, slots["square"], slots["momentum"], strict=True
        ):
            s = decay * s + (1 - decay) * tf.square(g)
            mean_square = s + rest if start else s
            m = momentum * m + learning_rate * g / tf.sqrt(mean_square + epsilon)
            new_weights.append(w - m)
            squares.append(s)
            momenta.append(m)
        return new_weights, {"square": squares, "momentum": momenta}

    return update


def lars(
    momentum: float, weight_decay: float, trust: float, kernels: tuple[bool, ...] = ()
) -> "Update":
    """Return LARS, Algorithm 1 of arXiv 1708.03888, slot 'velocity'.

    Args:
        momentum: In [0, 1).
        weight_decay: Added to the gradient, times the weight; and in the local rate.
        trust: The share of a kernel's norm that is its step, at a rate of 1.
        kernels: Which weights are; () for those of two axes.
    """

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        del step
        new_weights, velocities = [], []
        for w, g, v, is_kernel in zip(
            weights, gradient, slots["velocity"], which(weights, kernels), strict=True
        ):
            taken = g
            if is_kernel:
                size, slope = tf.norm(w), tf.norm(g)
                below = slope + weight_decay * size
                local = _ratio(trust * size, below)
                taken = local * (g + weight_decay * w)
            v = momentum * v + learning_rate * taken
            new_weights.append(w - v)
            velocities.append(v)
        return new_weights, {"velocity": velocities}

    return update


def lamb(
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    kernels: tuple[bool, ...] = (),
) -> "Update":
    """Return LAMB, Algorithm 2 of arXiv 1904.00962, slots 'first' and 'second'.

    The decay is part of the step whose norm is taken, which Keras' is not.
    """

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        time = tf.cast(step + 1, learning_rate.dtype)
        first, second = 1 - beta_1**time, 1 - beta_2**time
        new_weights, firsts, seconds = [], [], []
        for w, g, m, v, is_kernel in zip(
            weights,
            gradient,
            slots["first"],
            slots["second"],
            which(weights, kernels),
            strict=True,
        ):
            m = m + (g - m) * (1 - beta_1)
            v = v + (tf.square(g) - v) * (1 - beta_2)
            taken = (m / first) / (tf.sqrt(v / second) + epsilon)
            if is_kernel:
                taken = taken + weight_decay * w
                taken = _ratio(tf.norm(w), tf.norm(taken)) * taken
            new_weights.append(w - learning_rate * taken)
            firsts.append(m)
            seconds.append(v)
        return new_weights, {"first": firsts, "second": seconds}

    return update


def which(
    weights: Sequence[tf.Tensor], kernels: tuple[bool, ...] = ()
) -> tuple[bool, ...]:
    """Return which weights are kernels: as said, or all of two axes or more."""
    return kernels or tuple(w.shape.rank > 1 for w in weights)


def _ratio(above: tf.Tensor, below: tf.Tensor) -> tf.Tensor:
    """Return the ratio of two norms, 1 where one of them is 0."""
    is_one = (above == 0) | (below == 0)
    one = tf.ones_like(above)
    return tf.where(is_one, one, above / tf.where(is_one, one, below))
