"""Many steps in one compiled call, under a strategy."""

import functools
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.data.stored import untuned
from sam_pod.machines import eager
from sam_pod.sam.variant import FILLED, Variant
from sam_pod.step import algorithm, clock, metrics
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe

# loop(iterator of `stamped` batches, num_steps) -> one row of float32 per step,
# `[num_steps, width]`, and the seconds that each waited for its batch, `[num_steps]`.
Loop = Callable[[Iterator, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def compile_train(
    strategy: tf.distribute.Strategy, state: state_lib.TrainState, recipe: Recipe
) -> Loop:
    """Return the loop that trains: it writes the state, its rows are metrics.TRAIN.

    num_steps is an int64 tensor: an int would retrace.
    """

    def of(variant: Variant) -> Callable:
        def run(batch: Batch) -> tf.Tensor:
            values, report = algorithm.replica_step(
                state.read(), batch, recipe, variant
            )
            state.write(values)
            return report

        return run

    def choose() -> Callable[[tf.Tensor], tf.Tensor]:
        first, filled = tf.convert_to_tensor(state.step), None
        if state.memory:
            filled = tf.convert_to_tensor(state.memory[FILLED][0]) > 0

        def program(i: tf.Tensor) -> tf.Tensor:
            is_filled = None if filled is None else filled | (i > 0)
            return recipe.cadence.program(recipe.variant, first + i, is_filled)

        return program

    width = len(metrics.TRAIN) + len(recipe.metrics)
    return compile_loop(strategy, [of(v) for v in recipe.programs], width, choose)


def compile_evaluation(
    strategy: tf.distribute.Strategy,
    state: state_lib.TrainState,
    recipe: Recipe,
    *,
    averaged: bool = True,
) -> Loop:
    """Return the loop that evaluates: its rows are `metrics.evaluation_sums`.

    Args:
        strategy: The strategy that runs it.
        state: The state of the run.
        recipe: The parts of its step.
        averaged: Whether the average is evaluated, where there is one.
    """

    def run(batch: Batch) -> tf.Tensor:
        values = state.read()
        values = values if averaged else values._replace(average={})
        return algorithm.replica_evaluation(values, batch, recipe)

    return compile_loop(strategy, [run], recipe.num_sums)


def compile_loop(
    strategy: tf.distribute.Strategy,
    programs: Sequence[Callable[[Batch], tf.Tensor]],
    width: int,
    choose: Callable[[], Callable[[tf.Tensor], tf.Tensor]] | None = None,
) -> Loop:
    """Return the loop that runs all its steps in one call.

    Args:
        strategy: The strategy that runs each step, one program on every replica.
        programs: From a `Batch` to a float32 `[width]`, equal on all replicas.
        width: The size of a program's result; the loop stacks the results.
        choose: Called when a loop begins; it returns a function from the number of a
            step in the loop to the place of its program. The host chooses, so each
            program is compiled by itself, and its collectives stand in no branch.
    """
    num_hosts = getattr(strategy.extended, "num_hosts", 1)  # A TPU slice may have more.
    run_one = [_on_replicas(strategy, program) for program in programs]

    @tf.function(autograph=False)
    def loop(iterator: Iterator, num_steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = choose() if len(programs) > 1 else None

        def run(i: tf.Tensor, tensors: Sequence) -> tuple[tf.Tensor, ...]:
            branches = [functools.partial(one, tensors) for one in run_one]
            if chosen is None:
                return branches[0]()
            return tf.switch_case(chosen(i), branches)

        def step(
            i: tf.Tensor, rows: tf.TensorArray, waits: tf.TensorArray, since: tf.Tensor
        ) -> tuple[tf.Tensor, tf.TensorArray, tf.TensorArray, tf.Tensor]:
            *tensors, made = next(iterator)
            local_rows = run(i, tensors)
            # A step has waited from the end of the one before until its batch was
            # made, if it was not. It orders nothing: batches are asked for ahead.
            made = strategy.experimental_local_results(made)
            made = tf.reduce_max(made[: len(made) // num_hosts])  # By one clock.
            wait = tf.maximum(made - since, 0.0)
            since = _time_of(local_rows[0])
            place = tf.cast(i, tf.int32)
            waits = waits.write(place, wait)
            rows = rows.write(place, tf.ensure_shape(local_rows[0], [width]))
            return i + 1, rows, waits, since

        size = tf.cast(num_steps, tf.int32)
        _, rows, waits, _ = tf.while_loop(
            lambda i, *_: i < num_steps,
            step,
            (
                tf.constant(0, tf.int64),
                tf.TensorArray(tf.float32, size, False, True),
                tf.TensorArray(tf.float64, size, False, True),
                clock.seconds(),
            ),
            maximum_iterations=size,
        )
        return rows.stack(), waits.stack()

    return loop


def _on_replicas(
    strategy: tf.distribute.Strategy, program: Callable[[Batch], tf.Tensor]
) -> Callable[[Sequence], tuple[tf.Tensor, ...]]:
    """Return the function from the tensors of a batch to each local replica's row."""
    # Neither the step nor its loop has Python conditions on tensors, and looking for
    # some would read all sources of the step: a third of the time to the first one.
    replica_fn = tf.autograph.experimental.do_not_convert(
        lambda *tensors: program(Batch(*tensors))
    )

    def run(tensors: Sequence) -> tuple[tf.Tensor, ...]:
        row = strategy.run(replica_fn, args=tuple(tensors))
        return strategy.experimental_local_results(row)

    return run


def iterator(
    strategy: tf.distribute.Strategy,
    input_fn: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> Iterator:
    """Return what a loop iterates over, which all hosts have made.

    Args:
        strategy: The strategy of the loop.
        input_fn: A function from its context to a host's batches.
    """
    with eager.settled():
        batches = strategy.distribute_datasets_from_function(
            lambda context: stamped(input_fn(context))
        )
        return untuned.iterator(batches)


def stamped(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Return the tensors of each `Batch`, and the seconds when it was made."""
    batches = batches.map(lambda batch: (*batch.tensors, clock.seconds()))
    return batches.prefetch(1)  # So that it is made when it can be.


def _time_of(tensor: tf.Tensor) -> tf.Tensor:
    """Return the seconds when a small tensor could be read here."""
    # The result of an accelerator is there when its copy is.
    with tf.device("/device:CPU:0"):
        copy = tf.identity(tensor)
        with tf.control_dependencies([copy]):
            return clock.seconds()
