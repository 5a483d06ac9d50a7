"""What a member of the family puts in the place of equations 2 and 3.

A step of any member has the same joints; a member says what is done at some of them:

    direct    where each learner ascends, from its own clean gradient
    descend   what a learner makes of its clean and its perturbed gradient
    finish    what the optimizer takes and what is remembered, from the means of both
              gradients over all learners

A learner is what ascends together: a micro-batch of a group of replicas. All of it is
pure functions of tensors, without a strategy or a config.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sam_pod.sam import directions
from sam_pod.sam.gradients import Mask, Tensors

# By name: one tensor per weight, and `FILLED`.
Memory = dict[str, Tensors]
# The name of a scalar of every memory: 0 until something is remembered, then 1.
FILLED = "filled"
# All names of `Variant.metrics`: what of a run's events is ours.
METRICS = ("orthogonal_norm", "new_part_norm", "cosine", "rho_limit")


class Descent(NamedTuple):
    """What a learner's two gradients come to."""

    gradient: Tensors
    metrics: tuple[tf.Tensor, ...] = ()


class Finished(NamedTuple):
    """What the means of the gradients over all learners come to."""

    gradient: Tensors  # What the optimizer takes.
    # Subtracted from the weights after the optimizer, times the learning rate.
    correction: Tensors | None = None
    memory: Memory | None = None  # None where it stays as it is.
    metrics: tuple[tf.Tensor, ...] = ()


Clip = Callable[[Tensors], Tensors]
# (clean, perturbed) -> descent, of one learner.
Descend = Callable[[Tensors, Tensors], Descent]
# (clean, perturbed, memory, clip) -> finished; the means over all learners.
Finish = Callable[[Tensors, Tensors, Memory, Clip], Finished]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A member of the family, with its hyper-parameters; SAM where nothing is said."""

    name: str
    direct: directions.Direct = directions.euclidean
    descend: Descend | None = None  # None: the perturbed gradient.
    is_linear: bool = True  # `descend` of means is the mean of what it returns.
    finish: Finish | None = None  # None: the mean of what `descend` returned.
    memory_names: tuple[str, ...] = ()  # In every checkpoint, zeros at first.
    perturbs: Mask = None  # The weights that are perturbed; the others cost nothing.
    draws: bool = False  # Random numbers: `direct` takes keys.
    is_blind: bool = False  # The direction needs no clean gradient.
    # The direction is that of the last update, so its one gradient is taken there.
    follows_momentum: bool = False
    ascends: bool = True  # There is a second gradient, at w + e.
    clean_pass: float = 1.0  # The FLOPs of the clean gradient over a whole one's.
    part: float = 1.0  # The share of examples, the hardest, in the second gradient.
    period: int = 1  # Every so many steps it is taken,
    between: "Variant | None" = None  # and this one on the others.
    # Names below 'train/' of what direct, descend and finish report, in this order.
    metrics: tuple[str, ...] = ()

    @property
    def passes(self) -> float:
        """The FLOPs of a step over those of a gradient; a forward pass is a third."""
        if not self.ascends:
            return 1.0
        return self.clean_pass + self.part + (1 / 3 if self.part < 1 else 0.0)

    def passes_on(self, examples: int) -> float:
        """Return `passes` for a learner's examples, of which a whole number is chosen.

        Args:
            examples: The examples of one replica that ascend together.
        """
        if self.part == 1:
            return self.passes
        part = max(int(self.part * examples), 1) / examples
        return dataclasses.replace(self, part=part).passes

    @property
    def needs_whole_learner(self) -> bool:
        """Whether `descend` takes the mean gradients of all that ascend together."""
        return self.descend is not None and not self.is_linear

    @property
    def needs_clean_mean(self) -> bool:
        """Whether `finish` takes the clean gradient's mean beside the perturbed one."""
        return self.ascends and self.finish is not None

    @property
    def watched(self) -> Mask:
        """The weights whose clean gradient is taken; None for all."""
        if not self.ascends:
            return None
        return () if self.is_blind else self.perturbs

    def start(self, weights: Sequence[tf.Tensor | np.ndarray]) -> Memory:
        """Return the memory before the first step, as arrays."""
        if not self.memory_names:
            return {}
        zeros = {
            name: [np.zeros(w.shape, _numpy_type(w)) for w in weights]
            for name in self.memory_names
        }
        return {**zeros, FILLED: [np.float32(0)]}

    def at(self, step: int, memory: Memory | None = None) -> "Variant":
        """Return which member takes a step, counted from 0.

        Args:
            step: The number of steps made before.
            memory: What the step before returned, where one's loop begins elsewhere
                than at 0: one that is not filled yet is refreshed first.

        Raises:
            ValueError: it is called within a tf.function, which is traced once.
        """
        known = [step, *(memory or {}).get(FILLED, ())]
        if any(map(tf.is_symbolic_tensor, known)):
            raise ValueError(
                f"{self.name} is asked within a tf.function which member takes a step: "
                "ask before, and give the function a member for each answer"
            )
        if self.between is None or step % self.period == 0:
            return self
        is_new = memory is not None and not np.any(memory[FILLED][0])
        return self if is_new else self.between


def _numpy_type(tensor: tf.Tensor | np.ndarray) -> type:
    return tf.as_dtype(tensor.dtype).as_numpy_dtype


PLAIN = Variant("plain", ascends=False)


def is_filled(memory: Memory, dtype: tf.DType) -> tf.Tensor:
    """Return 1 where something is remembered, else 0, as a scalar of `dtype`."""
    return tf.cast(memory[FILLED][0], dtype)


def keep(memory: Memory, **tensors: Tensors) -> Memory:
    """Return the memory with new values, filled."""
    return {**memory, **tensors, FILLED: [tf.ones([])]}


def identity(tensors: Tensors) -> Tensors:
    """Return the tensors: no clipping."""
    return tensors
