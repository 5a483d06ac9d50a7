"""Loops of steps that JAX executes: cut, stopped, read, changed and evaluated."""

import numpy as np
import tensorflow as tf

from sam_pod import sam
from sam_pod.step import averaging, metrics
from sam_pod.step import loop as loop_lib
from sam_pod.step import state as state_lib
from tests import fixtures
from tests.pjrt import needs_jax
from tests.pjrt.steps import BATCH, REPLICAS, Run, recipe_of

pytestmark = needs_jax


def test_where_loops_are_cut_and_when_the_host_looks_changes_no_bit():
    recipe = recipe_of(variant=sam.looksam.build(3, 0.7))
    batches = fixtures.batches(12, BATCH)
    whole = Run(recipe, batches)
    rows = whole.train(12)
    parts = Run(recipe, batches)
    found = []
    for count in (1, 4, 5, 2):
        found.append(parts.train(count))
        parts.arrays()
    np.testing.assert_array_equal(np.concatenate(found), rows)
    for a, b in zip(parts.arrays(), whole.arrays(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_that_is_read_again_goes_on_with_the_same_bits():
    recipe, batches = recipe_of(), fixtures.batches(8, BATCH)
    whole = Run(recipe, batches)
    whole.train(8)
    other = Run(recipe, batches)
    other.train(4)
    kept = other.arrays()
    resumed = Run(recipe, batches[4:])
    state_lib.assign_arrays(resumed.state, kept)
    resumed.train(4)
    for a, b in zip(resumed.arrays(), whole.arrays(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_assigned_counts_after_a_reload():
    recipe, batches = recipe_of(), fixtures.batches(3, BATCH)
    run = Run(recipe, batches)
    before = state_lib.to_arrays(run.state)
    first = run.train(1)
    run.executor.settle(run.state)
    state_lib.assign_arrays(run.state, before)
    run.executor.reload(run.state)
    run.iterator = run.input(masked=False)
    np.testing.assert_array_equal(run.train(1), first)


def test_the_learning_rate_scale_is_the_hosts():
    recipe = recipe_of(schedule=lambda step, scale: 0.05 * scale)
    run = Run(recipe, fixtures.batches(2, BATCH))
    place = metrics.TRAIN.index("train/learning_rate")
    assert run.train(1)[0, place] == np.float32(0.05)
    run.state.progress["learning_rate_scale"].assign(0.25)
    assert run.train(1)[0, place] == np.float32(0.05) * np.float32(0.25)


def test_an_evaluation_is_tensorflows_and_changes_nothing():
    average = averaging.Average(0.9, False)
    recipe, batches = recipe_of(average=average), fixtures.batches(4, BATCH)
    run = Run(recipe, batches)
    run.train(4)
    before = run.arrays()
    strategy = fixtures.mirrored(REPLICAS)
    state = state_lib.create(
        strategy, recipe.network, recipe.optimizer, recipe.variant, average
    )
    state_lib.assign_arrays(state, before)
    sums = []
    for averaged in (True, False):
        loop = run.executor.compile_evaluation(run.state, recipe, averaged=averaged)
        found, _ = loop(run.input(masked=True), tf.constant(4, tf.int64))
        other = loop_lib.compile_evaluation(strategy, state, recipe, averaged=averaged)

        def input_fn(context):
            assert context.num_replicas_in_sync == REPLICAS
            images, labels = (np.concatenate(x) for x in zip(*batches, strict=True))
            mask = (np.arange(len(labels)) % 3 > 0).astype(np.float32)
            return fixtures.stamped((images, labels, mask), BATCH // REPLICAS)

        iterator = iter(strategy.distribute_datasets_from_function(input_fn))
        expected, _ = other(iterator, tf.constant(4, tf.int64))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        sums.append(found.numpy())
    assert (sums[0] != sums[1]).any()  # The average is another network.
    for a, b in zip(run.arrays(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_all_that_a_step_updates_is_written_in_place():
    run = Run(recipe_of(), fixtures.batches(1, BATCH))
    run.train(1)
    ((program, compiled),) = run.compiled
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes == sum(
        program.inputs[i].num_bytes for i, _ in program.aliases
    )
