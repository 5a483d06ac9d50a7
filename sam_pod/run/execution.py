"""Who executes the compiled loops of a run: TensorFlow's strategy, or another."""

from typing import Protocol

import tensorflow as tf

from sam_pod.machines.runtime import Runtime
from sam_pod.step import loop as loop_lib
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


class Executor(Protocol):
    """Compiles loops, and says where the state's values are between them."""

    def compile_train(
        self, state: state_lib.TrainState, recipe: Recipe
    ) -> loop_lib.Loop:
        """Return the loop that trains, as `loop.compile_train` does."""

    def compile_evaluation(
        self, state: state_lib.TrainState, recipe: Recipe, *, averaged: bool = True
    ) -> loop_lib.Loop:
        """Return the loop that evaluates, as `loop.compile_evaluation` does."""

    def settle(self, state: state_lib.TrainState) -> None:
        """Bring all variables up to date; before, only those between loops are."""

    def reload(self, state: state_lib.TrainState) -> None:
        """Take the values of the variables, which something else has assigned."""


def of(runtime: Runtime) -> Executor:
    """Return what executes the loops of a runtime."""
    return runtime.executor or TensorFlow(runtime.strategy)


class TensorFlow:
    """The strategy's own loop, which reads and writes the variables themselves."""

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy

    def compile_train(
        self, state: state_lib.TrainState, recipe: Recipe
    ) -> loop_lib.Loop:
        """Return the loop that trains."""
        return loop_lib.compile_train(self._strategy, state, recipe)

    def compile_evaluation(
        self, state: state_lib.TrainState, recipe: Recipe, *, averaged: bool = True
    ) -> loop_lib.Loop:
        """Return the loop that evaluates."""
        return loop_lib.compile_evaluation(
            self._strategy, state, recipe, averaged=averaged
        )

    def settle(self, state: state_lib.TrainState) -> None:
        """Do nothing: they are."""

    def reload(self, state: state_lib.TrainState) -> None:
        """Do nothing: a step reads them."""
