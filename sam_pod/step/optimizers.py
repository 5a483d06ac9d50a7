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
from sam_pod.step import update_rules

Tensors = list[tf.Tensor]
Kernels = tuple[bool, ...]  # Which weights are kernels; () for those of two axes.
Slots = dict[str, Tensors]  # Slot name -> one tensor per weight.
# (gradient, slots, weights, step, learning_rate) -> (weights, slots); step counts
# from 0 and is the number of updates made before this one.
Update = Callable[
    [Tensors, Slots, Tensors, tf.Tensor, tf.Tensor], tuple[Tensors, Slots]
]


# Where weight decay stands.
PLACES = ("auto", "loss", "loss_all", "gradient", "decoupled")


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An update rule and the names of the slots it keeps, all zeros at first."""

    slot_names: tuple[str, ...]
    update: Update
    # Whether weight decay enters the loss, and so both gradients of SAM (section 3.1
    # of arXiv 2010.01412), or is part of `update` (AdamW).
    decays_in_loss: bool = True
    # From the slots to the last update of each weight, but for its length; None where
    # Momentum-SAM does not say what that is.
    heading: Callable[[Slots], Tensors] | None = None
    # Whether slots are in the units of a step, the learning rate in them.
    has_rate_in_slots: bool = False
    factors: tuple[float, ...] = ()  # Of each weight's learning rate; () for 1.

    def scaled(self, tensors: Tensors) -> Tensors:
        """Return tensors, one per weight, times the factors of their rates."""
        if not self.factors:
            return tensors
        pairs = zip(tensors, self.factors, strict=True)
        return [t if factor == 1 else factor * t for t, factor in pairs]


def build(config: ml_collections.ConfigDict, kernels: Kernels = ()) -> Optimizer:
    """Return the optimizer that `config.optimizer` describes.

    Args:
        config: A validated config.
        kernels: Which weights decay, and are scaled by 'lars' and 'lamb'.

    Raises:
        UserError: there is no optimizer of that name.
    """
    name, place = config.optimizer.name, config.optimizer.decays_in
    optimizer = errors.lookup(_builders(config, kernels), name, "optimizer.name")()
    errors.lookup(dict.fromkeys(PLACES), place, "optimizer.decays_in")
    if name == "adamw":
        if place not in ("auto", "decoupled"):
            raise errors.UserError(
                f"`optimizer.decays_in` is {place!r} and `optimizer.name` 'adamw', "
                "whose decay is decoupled: take 'adam'."
            )
        return optimizer
    if name in ("lars", "lamb") and place != "auto":
        raise errors.UserError(
            f"`optimizer.decays_in` is {place!r} and `optimizer.name` {name!r}, whose "
            "decay is part of the step of each kernel: take 'auto'."
        )
    if place in ("gradient", "decoupled") and config.optimizer.weight_decay:
        return with_decay(optimizer, config.optimizer.weight_decay, place, kernels)
    return optimizer


def _builders(
    config: ml_collections.ConfigDict, kernels: Kernels
) -> dict[str, Callable[[], Optimizer]]:
    """Return what makes each optimizer, by its name."""
    return {
        "sgd": lambda: sgd(
            config.optimizer.momentum,
            config.optimizer.nesterov,
            rate_in_velocity=config.optimizer.rate_in_velocity,
        ),
        "adam": lambda: adam(
            config.optimizer.beta_1, config.optimizer.beta_2, config.optimizer.epsilon
        ),
        "adamw": lambda: adam(
            config.optimizer.beta_1,
            config.optimizer.beta_2,
            config.optimizer.epsilon,
            decoupled_weight_decay=config.optimizer.weight_decay,
            kernels=kernels,
        ),
        "rmsprop": lambda: Optimizer(
            ("square", "momentum"),
            update_rules.rmsprop(
                config.optimizer.rmsprop_decay,
                config.optimizer.momentum,
                config.optimizer.epsilon,
                config.optimizer.rmsprop_start,
            ),
        ),
        "lars": lambda: Optimizer(
            ("velocity",),
            update_rules.lars(
                config.optimizer.momentum,
                config.optimizer.weight_decay,
                config.optimizer.trust,
                kernels,
            ),
            decays_in_loss=False,
        ),
        "lamb": lambda: Optimizer(
            ("first", "second"),
            update_rules.lamb(
                config.optimizer.beta_1,
                config.optimizer.beta_2,
                config.optimizer.epsilon,
                config.optimizer.weight_decay,
                kernels,
            ),
            decays_in_loss=False,
        ),
    }


def sgd(
    momentum: float = 0.9, nesterov: bool = True, *, rate_in_velocity: bool = True
) -> Optimizer:
    """Return SGD with momentum; momentum 0 keeps no slot.

    Args:
        momentum: In [0, 1).
        nesterov: Whether the step looks ahead.
        rate_in_velocity: Whether a gradient enters the velocity times the learning rate
            of its own step, as in Keras, or a step takes the velocity times its rate,
            as in PyTorch and the paper's code. They differ where the rate changes.
    """

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

    def outside(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        del step
        new_weights, velocities = [], []
        for w, g, v in zip(weights, gradient, slots["velocity"], strict=True):
            v = momentum * v + g
            delta = g + momentum * v if nesterov else v
            new_weights.append(w - learning_rate * delta)
            velocities.append(v)
        return new_weights, {"velocity": velocities}

    def heading(slots: Slots) -> Tensors:
        velocity = slots["velocity"]
        return velocity if rate_in_velocity else [-v for v in velocity]

    if momentum == 0:
        return Optimizer((), plain)
    update = with_momentum if rate_in_velocity else outside
    return Optimizer(
        ("velocity",),
        update,
        heading=None if nesterov else heading,
        has_rate_in_slots=rate_in_velocity,
    )


def adam(
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    decoupled_weight_decay: float | None = None,
    kernels: Kernels = (),
) -> Optimizer:
    """Return Adam (arXiv 1412.6980), or AdamW (arXiv 1711.05101) when given a decay.

    The decay shrinks `kernels`; biases and the scales of normalizations keep theirs.
    """

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        time = tf.cast(step + 1, learning_rate.dtype)
        correction = tf.sqrt(1 - beta_2**time) / (1 - beta_1**time)
        new_weights, firsts, seconds = [], [], []
        for w, g, m, v, is_kernel in zip(
            weights,
            gradient,
            slots["first"],
            slots["second"],
            update_rules.which(weights, kernels),
            strict=True,
        ):
            m = m + (g - m) * (1 - beta_1)
            v = v + (tf.square(g) - v) * (1 - beta_2)
            if decoupled_weight_decay and is_kernel:
                w = w - w * (decoupled_weight_decay * learning_rate)
            new_weights.append(
                w - m * (learning_rate * correction) / (v**0.5 + epsilon)
            )
            firsts.append(m)
            seconds.append(v)
        return new_weights, {"first": firsts, "second": seconds}

    def heading(slots: Slots) -> Tensors:
        return [-m for m in slots["first"]]

    in_loss = decoupled_weight_decay is None
    return Optimizer(
        ("first", "second"),
        update,
        decays_in_loss=in_loss,
        heading=None if in_loss else heading,
    )


def l2_penalty(
    weights: Sequence[tf.Tensor],
    weight_decay: float,
    *,
    over_all: bool = False,
    kernels: Kernels = (),
) -> tf.Tensor:
    """Return weight_decay / 2 * ||w||_2^2 over kernels, or over all, a scalar."""
    pairs = zip(weights, update_rules.which(weights, kernels), strict=True)
    decayed = [w for w, is_kernel in pairs if over_all or is_kernel]
    if not decayed:
        return tf.zeros([])
    return 0.5 * weight_decay * tf.add_n([tf.reduce_sum(w * w) for w in decayed])


def with_decay(
    optimizer: Optimizer, weight_decay: float, place: str, kernels: Kernels = ()
) -> Optimizer:
    """Return the optimizer with weight decay beside its gradient.

    Args:
        optimizer: Without any.
        weight_decay: 0 or above.
        place: 'gradient', which adds weight_decay * w of all weights to what the
            optimizer takes, as PyTorch's optimizers do, or 'decoupled', which shrinks
            kernels by the learning rate times it before the step (arXiv 1711.05101).
        kernels: Which weights these are.
    """

    def update(gradient, slots, weights, step, learning_rate):  # noqa: ANN001
        pairs = zip(weights, gradient, strict=True)
        if place == "gradient":
            gradient = [g + weight_decay * w for w, g in pairs]
        else:
            shrink = weight_decay * learning_rate
            pairs = zip(weights, update_rules.which(weights, kernels), strict=True)
            weights = [w - w * shrink if is_kernel else w for w, is_kernel in pairs]
        return optimizer.update(gradient, slots, weights, step, learning_rate)

    return dataclasses.replace(optimizer, update=update, decays_in_loss=False)
