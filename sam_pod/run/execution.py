"""Who executes the compiled loops of a run: TensorFlow's strategy, or another."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Protocol

import tensorflow as tf
from absl import logging

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

    def traced(self, folder: str) -> contextlib.AbstractContextManager[None]:
        """Trace what the context executes into a folder that TensorBoard reads."""


def of(runtime: Runtime) -> Executor:
    """Return what executes the loops of a runtime."""
    return runtime.executor or TensorFlow(runtime.strategy)


def measuring(runtime: Runtime) -> Runtime:
    """Return what programs that are TensorFlow's alone run on, beside the steps.

    That is the runtime, or this machine's CPU where another executes the steps.
    """
    if runtime.executor is None:
        return runtime
    logging.info("TensorFlow measures, on this machine's CPU.")
    one = tf.distribute.OneDeviceStrategy(runtime.host_device)
    return dataclasses.replace(runtime, strategy=one, executor=None)


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

    @contextlib.contextmanager
    def traced(self, folder: str) -> Iterator[None]:
        """Trace the operations of the context."""
        tf.profiler.experimental.start(folder)
        try:
            yield
        finally:
            tf.profiler.experimental.stop()
