"""Optimizers as pure functions: (gradient, slots, weights, step, rate) -> new values.

Keras' optimizers all-reduce by themselves inside a replica and would reduce a mean
gradient again; these do arithmetic and nothing else. Each equals its Keras optimizer,
which its test checks step by step.
"""

import dataclasses
from collections.abc import Callable, Sequence

import ml_collections
import tensorflow as tf

from sam_pod import errors

Tensors = list[tf.Tensor]
Slots = dict[str, Tensors]  # Slot name -> one tensor per weight.
# (gradient, slots, weights, step, learning_rate) -> (weights, slots); step counts
# from 0 and is the number of updates made before this one.
Update = Callable[
    [Tensors, Slots, Tensors, tf.Tensor, tf.Tensor], tuple[Tensors, Slots]
]


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An update rule and the names of the slots it keeps, all zeros at first."""

    slot_names: tuple[str, ...]
    update: Update
    # Whether weight decay enters the loss, and so both gradients of SAM (section 3.1
    # of arXiv 2010.01412), or is part of `update` (AdamW).
    decays_in_loss: bool = True


def build(config: ml_collections.ConfigDict) -> Optimizer:
    """Return the optimizer that `config.optimizer` describes.

    Raises:
        UserError: there is no optimizer of that name.
    """
    builders = {
        "sgd": lambda: sgd(config.optimizer.momentum, config.optimizer.nesterov),
        "adam": lambda: adam(
            config.optimizer.beta_1, config.optimizer.beta_2, config.optimizer.epsilon
        ),
        "adamw": lambda: adam(
            config.optimizer.beta_1,
            config.optimizer.beta_2,
            config.optimizer.epsilon,
            decoupled_weight_decay=config.optimizer.weight_decay,
        ),
    }
    return errors.lookup(builders, config.optimizer.name, "optimizer.name")()


def sgd(momentum: float = 0.9, nesterov: bool = True) -> Optimizer:
    """Return SGD with momentum; momentum 0 keeps no slot."""

    def plain(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        del step
        new = [w - learning_rate * g for w, g in zip(weights, gradient, strict=True)]
        return new, slots

    def with_momentum(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        del step
        new_weights, velocities = [], []
        for w, g, v in zip(weights, gradient, slots["velocity"], strict=True):
            v = momentum * v - learning_rate * g
            delta = momentum * v - learning_rate * g if nesterov else v
            new_weights.append(w + delta)
            velocities.append(v)
        return new_weights, {"velocity": velocities}

    if momentum == 0:
        return Optimizer((), plain)
    return Optimizer(("velocity",), with_momentum)


def adam(
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    decoupled_weight_decay: float | None = None,
) -> Optimizer:
    """Return Adam (arXiv 1412.6980), or AdamW (arXiv 1711.05101) when given a decay.

    The decay shrinks weights of two or more dimensions; biases and the scales of
    normalizations keep theirs.
    """

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        time = tf.cast(step + 1, learning_rate.dtype)
        correction = tf.sqrt(1 - beta_2**time) / (1 - beta_1**time)
        new_weights, firsts, seconds = [], [], []
        for w, g, m, v in zip(
            weights, gradient, slots["first"], slots["second"], strict=True
        ):
            m = m + (g - m) * (1 - beta_1)
            v = v + (tf.square(g) - v) * (1 - beta_2)
            if decoupled_weight_decay and decays(w):
                w = w - w * (decoupled_weight_decay * learning_rate)
            new_weights.append(
                w - m * (learning_rate * correction) / (v**0.5 + epsilon)
            )
            firsts.append(m)
            seconds.append(v)
        return new_weights, {"first": firsts, "second": seconds}

    in_loss = decoupled_weight_decay is None
    return Optimizer(("first", "second"), update, decays_in_loss=in_loss)


def decays(weight: tf.Tensor) -> bool:
    """Return whether weight decay applies: to kernels, not to biases or scales."""
    return weight.shape.rank > 1


def l2_penalty(weights: Sequence[tf.Tensor], weight_decay: float) -> tf.Tensor:
    """Return weight_decay / 2 * ||w||_2^2 over the kernels, a scalar."""
    kernels = [w for w in weights if decays(w)]
    if not kernels:
        return tf.zeros([])
    return 0.5 * weight_decay * tf.add_n([tf.reduce_sum(w * w) for w in kernels])
