"""The gradient of any member, for one's own loop on one replica.

`step.algorithm.replica_step` puts the same functions together for many.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sam_pod.sam import allowed, directions, gradients
from sam_pod.sam.gradients import LossFn, Tensors
from sam_pod.sam.variant import Finished, Memory, Variant, identity

_SAM = Variant("sam")


@dataclasses.dataclass(frozen=True)
class SamGradient:
    """What one step knows after its passes."""

    gradient: Tensors  # What the optimizer takes.
    loss: tf.Tensor  # At w.
    perturbed_loss: tf.Tensor  # At w + e.
    ascent_norm: tf.Tensor  # What the ascent was divided by: ||g||_2 at w for SAM.
    aux: Any  # What loss_fn returned beside the loss, at w.
    perturbed_aux: Any  # The same, at w + e.
    memory: Memory = dataclasses.field(default_factory=dict)  # For the next step.
    # To subtract, times the learning rate, after the optimizer; WSAM's, else None.
    correction: Tensors | None = None

    def __tf_flatten__(self) -> tuple[tuple, tuple]:  # So a tf.function can return it.
        return (), tuple(getattr(self, f.name) for f in dataclasses.fields(self))

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple, components: tuple) -> "SamGradient":
        del metadata
        return cls(*components)


class _Passes(NamedTuple):
    """What is measured in a step's passes, in the order of SamGradient's fields."""

    loss: tf.Tensor
    perturbed_loss: tf.Tensor
    ascent_norm: tf.Tensor
    aux: Any
    perturbed_aux: Any


def gradient(
    loss_fn: LossFn,
    weights: Sequence[tf.Tensor],
    rho: float | tf.Tensor = 0.05,
    member: Variant = _SAM,
    memory: Memory | None = None,
    key: tf.Tensor | None = None,
    *,
    momentum: Sequence[tf.Tensor] | None = None,
) -> SamGradient:
    """Return the gradient that a member gives the optimizer; SAM's equation 3.

    Args:
        loss_fn: A function called with `weights` and with `w + e`. Its randomness must
            be the same in both calls.
        weights: Tensors or variables of one float type, not float16; never written.
        rho: Radius of the ascent; the number 0 gives the plain gradient, in one pass.
        member: A member, as returned by its `build`; `member.at(step)` if it has a
            period.
        memory: What the step before returned, at first `member.start(weights)`.
        key: int32 `[2]`, another each step; for 'random' and 'esam'.
        momentum: The last update of each weight; for 'msam'.

    Raises:
        ValueError: the member needs what is not given, or the loss of each example; the
            weights are float16 or of several types, or others than it was built for;
            rho is below 0; the loss is no scalar, or depends on none of the weights.
    """
    weights = [tf.convert_to_tensor(weight) for weight in weights]
    memory = memory or {}
    _check(weights, rho, member, memory, key)
    if member.follows_momentum:
        return _ahead(loss_fn, weights, rho, momentum, memory)
    is_plain = _is_zero(rho)
    ascends = member.ascends and not is_plain
    watched = member.watched if ascends else None
    loss, clean, aux = gradients.batch_gradient(loss_fn, weights, watched)
    if not ascends:
        finished = (
            Finished(clean) if is_plain else _finish(member, clean, clean, memory)
        )
        passes = _Passes(loss, loss, gradients.norm(clean), aux, aux)
        return _found(finished, passes, memory)
    keys = None if key is None else directions.Keys(key, key)
    perturbed = gradients.select(weights, member.perturbs)
    direction = member.direct(clean, perturbed, memory, keys)
    norm = tf.sqrt(direction.squared_norm)
    e = directions.ascent(direction, rho, norm)
    perturbed_loss, there, perturbed_aux = gradients.batch_gradient(
        loss_fn, gradients.perturb(weights, e, member.perturbs)
    )
    finished = _finish(member, clean, there, memory)
    passes = _Passes(loss, perturbed_loss, norm, aux, perturbed_aux)
    return _found(finished, passes, memory)


def _is_zero(rho: float | tf.Tensor) -> bool:
    """Return whether there is no ascent; of a tensor nothing is known when traced."""
    return not tf.is_tensor(rho) and rho == 0


def _check(
    weights: Tensors,
    rho: float | tf.Tensor,
    member: Variant,
    memory: Memory,
    key: tf.Tensor | None,
) -> None:
    """Refuse what a member cannot be given, or lacks."""
    if any(weight.dtype == tf.float16 for weight in weights):
        raise ValueError(
            "weights in float16 cannot be ascended: squares of their gradients vanish; "
            "keep them in float32, as Keras' mixed_float16 does"
        )
    types = {weight.dtype.name for weight in weights}  # AutoGraph knows no `:=`.
    if len(types) > 1:
        raise ValueError(
            f"the weights are of types {' and '.join(sorted(types))}, whose norm has "
            "none: keep them all in one, with a Keras model by a mixed policy"
        )
    if not tf.is_tensor(rho):
        allowed.check_at_least("rho", rho, 0)
    if member.part < 1:
        raise ValueError(
            "esam with gamma below 1 needs the loss of each example, which loss_fn "
            "does not return: build it with gamma=1"
        )
    if member.draws and not _is_zero(rho) and key is None:
        raise ValueError(f"{member.name} draws random numbers: give a key")
    if not set(member.memory_names) <= set(memory):
        raise ValueError(
            f"{member.name} needs a memory of its own: begin with its start(weights)"
        )


def _ahead(
    loss_fn: LossFn,
    weights: Tensors,
    rho: float | tf.Tensor,
    momentum: Sequence[tf.Tensor] | None,
    memory: Memory,
) -> SamGradient:
    if momentum is None:
        raise ValueError("msam needs the momentum: the last update of each weight")
    e = directions.perturbation(momentum, rho)
    loss, found, aux = gradients.batch_gradient(loss_fn, gradients.perturb(weights, e))
    passes = _Passes(loss, loss, gradients.norm(momentum), aux, aux)
    return _found(Finished(found), passes, memory)


def _finish(
    member: Variant, clean: Tensors, perturbed: Tensors, memory: Memory
) -> Finished:
    if member.descend:
        perturbed = member.descend(clean, perturbed).gradient
    if member.finish is None:
        return Finished(perturbed)
    return member.finish(clean, perturbed, memory, identity)


def _found(finished: Finished, passes: _Passes, memory: Memory) -> SamGradient:
    kept = memory if finished.memory is None else finished.memory
    return SamGradient(finished.gradient, *passes, kept, finished.correction)
