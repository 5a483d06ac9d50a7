"""A step on virtual devices, and the same on one device: what `execution` compares.

Both keep the gradient that the optimizer takes as one more slot of the state.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.lowering import execute, programs
from sam_pod.machines import groups
from sam_pod.sam.variant import Variant
from sam_pod.step import algorithm, metrics, optimizers
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe

GRADIENT = "preflight_gradient"  # The name of its slot.


def with_gradient(recipe: Recipe) -> Recipe:
    """Return the recipe that keeps the gradient of each step as a slot."""

    def update(
        gradient: optimizers.Tensors,
        slots: optimizers.Slots,
        *rest: tf.Tensor,
    ) -> tuple[optimizers.Tensors, optimizers.Slots]:
        weights, slots = recipe.optimizer.update(gradient, slots, *rest)
        return weights, {**slots, GRADIENT: gradient}

    optimizer = dataclasses.replace(
        recipe.optimizer,
        slot_names=(*recipe.optimizer.slot_names, GRADIENT),
        update=update,
    )
    return dataclasses.replace(recipe, optimizer=optimizer)


class Replicas:
    """The lowered step on virtual devices, and the state after each step."""

    def __init__(
        self,
        recipe: Recipe,
        shape: tuple[int, ...],
        num_replicas: int,
        *,
        by_jax: bool = False,
    ) -> None:
        size = shape[0] // num_replicas
        executable = execute.Executable
        if by_jax:
            from sam_pod.preflight import jitted  # Of another JAX.

            executable = jitted.Executable
        self._runs = [
            executable(
                programs.train_step(
                    recipe,
                    shape[1:],
                    num_replicas=num_replicas,
                    per_replica_batch_size=size,
                    variant=variant,
                )
            )
            for variant in recipe.programs
        ]
        self._is_several = num_replicas > 1
        group = recipe.groups.among(num_replicas)
        self._rows = [
            groups.rows(tf.constant(r), size, group, recipe.micro_batches).numpy()
            for r in range(num_replicas)
        ]
        self._initial = programs.initial_values(recipe)
        flat = [np.asarray(value) for value in tf.nest.flatten(self._initial)]
        self._states = [flat] * num_replicas
        self.are_equal, self.loss = True, 0.0

    @property
    def values(self) -> state_lib.Values:
        """Return the state, of which all replicas have the same."""
        return tf.nest.pack_sequence_as(self._initial, self._states[0])

    def step(self, images: np.ndarray, labels: np.ndarray, program: int) -> None:
        """Take one step with a global batch, by one of `recipe.programs`."""
        outputs = self._runs[program](
            [
                # A program of one replica takes no replica's number.
                [*state, *[np.int32(r)] * self._is_several, images[rows], labels[rows]]
                for r, (state, rows) in enumerate(
                    zip(self._states, self._rows, strict=True)
                )
            ]
        )
        self.are_equal &= all(
            mine.tobytes() == other.tobytes()  # Metrics of other steps are NaN.
            for output in outputs[1:]
            for mine, other in zip(output, outputs[0], strict=True)
        )
        self._states = [output[:-1] for output in outputs]
        self.loss = outputs[0][-1][metrics.TRAIN.index("train/loss")]


class Found(NamedTuple):
    """What the reference makes of a step."""

    loss: np.ndarray
    gradient: list[np.ndarray]  # That the optimizer takes.
    beside: list[np.ndarray]  # What else the weights move by; zeros for most members.


class Alone:
    """The reference, on one device."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        keeping = with_gradient(recipe)

        def of(variant: Variant) -> Callable:
            @tf.function(jit_compile=True, autograph=False)
            def run(values, images, labels):  # noqa: ANN001
                new, report = algorithm.replica_step(
                    values, Batch(images, labels), keeping, variant
                )
                gradient = new.slots[GRADIENT]
                weights = self._updated(values, gradient)
                pairs = zip(new.weights, weights, strict=True)
                return gradient, [a - b for a, b in pairs], report

            return run

        self._runs = [of(variant) for variant in recipe.programs]

    def step(
        self,
        values: state_lib.Values,
        images: np.ndarray,
        labels: np.ndarray,
        program: int,
    ) -> Found:
        """Return what one of `recipe.programs` makes of a global batch."""
        gradient, beside, report = self._runs[program](
            _tensors(values), tf.constant(images), tf.constant(labels)
        )
        loss = report.numpy()[metrics.TRAIN.index("train/loss")]
        return Found(loss, [g.numpy() for g in gradient], [b.numpy() for b in beside])

    def update(
        self, values: state_lib.Values, gradient: list[np.ndarray]
    ) -> list[np.ndarray]:
        """Return the weights after the optimizer's update by a gradient."""
        gradient = [tf.constant(g) for g in gradient]
        return [w.numpy() for w in self._updated(_tensors(values), gradient)]

    def _updated(
        self, values: state_lib.Values, gradient: optimizers.Tensors
    ) -> optimizers.Tensors:
        rate = self._recipe.schedule(values.step, values.learning_rate_scale)
        weights, _ = self._recipe.optimizer.update(
            gradient, values.slots, values.weights, values.step, rate
        )
        return weights


def _tensors(values: state_lib.Values) -> state_lib.Values:
    return tf.nest.map_structure(tf.constant, values)
