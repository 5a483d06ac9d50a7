"""The state of a training run.

All of it is plain `tf.Variable`s, made under the strategy's scope: a step reads them as
tensors once and assigns them once.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from sam_pod.machines import eager
from sam_pod.sam import variant as variant_lib
from sam_pod.step import averaging, optimizers, progress

if TYPE_CHECKING:
    from sam_pod.models import network as network_lib


class Values(NamedTuple):
    """The values that one step reads and writes, as tensors."""

    step: tf.Tensor  # int64 scalar: updates made so far.
    weights: list[tf.Tensor]
    stats: list[tf.Tensor]
    slots: optimizers.Slots
    learning_rate_scale: tf.Tensor  # float32 scalar; only validation changes it.
    memory: variant_lib.Memory  # The member's own; {} for one that needs none.
    average: dict[str, list[tf.Tensor]]  # Of weights and stats; {} for none.

    def evaluated(self) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the weights and statistics that are evaluated: the averaged ones."""
        if not self.average:
            return self.weights, self.stats
        return self.average[averaging.WEIGHTS], self.average[averaging.STATS]


@dataclasses.dataclass(frozen=True)
class TrainState:
    """The variables of a run; the handles are fixed, the values change."""

    step: tf.Variable
    weights: list[tf.Variable]
    stats: list[tf.Variable]
    slots: dict[str, list[tf.Variable]]
    progress: dict[str, tf.Variable]  # By the names of progress.Progress.
    memory: dict[str, list[tf.Variable]]
    average: dict[str, list[tf.Variable]] = dataclasses.field(default_factory=dict)

    def read(self) -> Values:
        """Return the values, inside `strategy.run` those of this replica."""
        return Values(
            step=tf.convert_to_tensor(self.step),
            weights=_tensors(self.weights),
            stats=_tensors(self.stats),
            slots={name: _tensors(slot) for name, slot in self.slots.items()},
            learning_rate_scale=tf.convert_to_tensor(
                self.progress["learning_rate_scale"]
            ),
            memory={name: _tensors(m) for name, m in self.memory.items()},
            average={name: _tensors(part) for name, part in self.average.items()},
        )

    def write(self, values: Values) -> None:
        """Assign what a step computed; each replica assigns its own copy."""
        self.step.assign(values.step)
        _assign(self.weights, values.weights)
        _assign(self.stats, values.stats)
        for name, slot in self.slots.items():
            _assign(slot, values.slots[name])
        for name, memory in self.memory.items():
            _assign(memory, values.memory[name])
        for name, average in self.average.items():
            _assign(average, values.average[name])

    def is_filled(self) -> bool:
        """Return whether a member that has a memory remembers something."""
        return bool(self.memory[variant_lib.FILLED][0].numpy() > 0)

    def read_progress(self) -> progress.Progress:
        """Return the results of validation so far."""
        return progress.Progress(
            **{name: float(v.numpy()) for name, v in self.progress.items()}
        )

    def write_progress(self, new: progress.Progress) -> None:
        """Assign the record of validation, on all replicas."""
        values = [getattr(new, name) for name in self.progress]
        eager.assign(self.progress.values(), values)


def create(
    strategy: tf.distribute.Strategy,
    network: "network_lib.Network",
    optimizer: optimizers.Optimizer,
    variant: variant_lib.Variant = variant_lib.PLAIN,
    average: averaging.Average = averaging.NONE,
) -> TrainState:
    """Return the state before the first step, on all replicas of `strategy`."""
    weights, stats = network.initial_weights(), network.initial_stats()
    memory = memory_names(variant, list(weights))
    zeros = variant.start(list(weights.values()))
    averages = average.start(list(weights.items()), list(stats.items()))
    with strategy.scope(), eager.settled():
        return TrainState(
            step=tf.Variable(0, dtype=tf.int64, name="step"),
            weights=[tf.Variable(value, name=name) for name, value in weights.items()],
            stats=[tf.Variable(value, name=name) for name, value in stats.items()],
            slots={
                slot: [
                    tf.Variable(np.zeros_like(value), name=f"{slot}/{name}")
                    for name, value in weights.items()
                ]
                for slot in optimizer.slot_names
            },
            progress={
                field.name: tf.Variable(field.default, dtype=tf.float32)
                for field in dataclasses.fields(progress.Progress)
            },
            memory={
                name: [
                    tf.Variable(value, name=each)
                    for each, value in zip(memory[name], values, strict=True)
                ]
                for name, values in zeros.items()
            },
            average={
                part: [
                    tf.Variable(value, name=f"average/{name}") for name, value in each
                ]
                for part, each in averages.items()
            },
        )


def memory_names(
    variant: variant_lib.Variant, weights: Sequence[str]
) -> dict[str, list[str]]:
    """Return the name of each tensor of a member's memory, in its structure."""
    if not variant.memory_names:
        return {}
    names = {name: [f"{name}/{w}" for w in weights] for name in variant.memory_names}
    return {**names, variant_lib.FILLED: [variant_lib.FILLED]}


def to_arrays(state: TrainState) -> list[np.ndarray]:
    """Return the values of all variables, in an order that only the model decides."""
    return [variable.numpy() for variable in tf.nest.flatten(vars(state))]


def assign_arrays(state: TrainState, arrays: Sequence[np.ndarray]) -> None:
    """Assign what `to_arrays` returned, on all replicas."""
    eager.assign(tf.nest.flatten(vars(state)), arrays)


def _tensors(variables: list[tf.Variable]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(variable) for variable in variables]


def _assign(
    variables: list[tf.Variable], values: Sequence[tf.Tensor | np.ndarray]
) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
