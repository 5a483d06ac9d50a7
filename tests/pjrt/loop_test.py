"""Steps executed by JAX against TensorFlow's own loop under a MirroredStrategy.

The net is smooth: with ReLU a rounding error may decide which way a unit goes.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.data.input.batches import Batch
from sam_pod.lowering import programs
from sam_pod.machines import groups
from sam_pod.models import batch_norm, network
from sam_pod.step import averaging, metrics
from sam_pod.step import loop as loop_lib
from sam_pod.step import state as state_lib
from sam_pod.step.cadence import Cadence
from tests import fixtures
from tests.pjrt import needs_jax

pytestmark = needs_jax

REPLICAS, BATCH = 4, 16


def smooth_model(*, norm=True):
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3)(images)
    if norm:
        x = batch_norm.FusedBatchNormalization()(x)
    x = keras.layers.Activation("swish")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return network.Network(keras.Model(images, keras.layers.Dense(5)(x)))


def recipe_of(**more):
    return fixtures.small_recipe(smooth_model(), **more)


class Run:
    """A state on the devices of JAX, its loops, and an input of some batches."""

    def __init__(self, recipe, global_batches, replicas=REPLICAS):
        import jax

        from sam_pod.pjrt import connect

        jax.config.update("jax_enable_x64", True)
        self.recipe, self.batches = recipe, global_batches
        self.runtime = connect.of(jax.devices("cpu")[:replicas])
        self.state = state_lib.create(
            self.runtime.strategy,
            recipe.network,
            recipe.optimizer,
            recipe.variant,
            recipe.average,
        )
        self.executor = self.runtime.executor
        self.loop = self.executor.compile_train(self.state, recipe)
        self.iterator = self.input(masked=False)

    def input(self, *, masked):
        def input_fn(context):
            count = context.num_replicas_in_sync
            size = len(self.batches[0][0]) // count
            group = self.recipe.groups.among(count)
            rows = [
                groups.rows(
                    tf.constant(r), size, group, self.recipe.micro_batches
                ).numpy()
                for r in range(count)
            ]
            images = np.concatenate([x[row] for x, _ in self.batches for row in rows])
            labels = np.concatenate([y[row] for _, y in self.batches for row in rows])
            parts = (images, labels)
            if masked:
                parts += ((np.arange(len(labels)) % 3 > 0).astype(np.float32),)
            data = tf.data.Dataset.from_tensor_slices(parts)
            return loop_lib.stamped(data.batch(size, drop_remainder=True).map(Batch))

        strategy = self.runtime.strategy
        return iter(strategy.distribute_datasets_from_function(input_fn))

    def train(self, *counts):
        """Run loops of so many steps; return their rows together."""
        rows = [
            self.loop(self.iterator, tf.constant(n, tf.int64))[0].numpy()
            for n in counts
        ]
        return np.concatenate(rows)

    def arrays(self):
        self.executor.settle(self.state)
        return state_lib.to_arrays(self.state)


def theirs(recipe, global_batches, replicas=REPLICAS):
    strategy = fixtures.mirrored(replicas)
    state, rows = fixtures.train(strategy, recipe, global_batches)
    return state_lib.to_arrays(state), rows


def assert_close(found, expected, atol=2e-6):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=2e-6)


@pytest.mark.parametrize("sync", ["global", "replica"])
def test_a_hundred_steps_are_tensorflows(sync):
    recipe, batches = recipe_of(sync=sync), fixtures.batches(100, BATCH)
    run = Run(recipe, batches)
    rows = run.train(60, 40)
    expected, their_rows = theirs(recipe, batches)
    assert_close(run.arrays(), expected)
    np.testing.assert_allclose(rows, their_rows, atol=1e-5)
    assert int(run.state.step.numpy()) == 100


RECIPES = {
    "norm": {"sync": "norm"},
    "groups of two": {"sync": "2"},
    "micro-batches": {"micro_batches": 2},
    "micro-batches of groups": {"micro_batches": 2, "sync": "2"},
    "chunks": {"accumulate_steps": 2},
    "plain": {"rho": 0.0},
    "GSAM": {"variant": sam.gsam.build(0.4)},
    "clipping": {"clip_norm": 0.5},
}
# Several programs, on one replica: with four, the loop of TensorFlow 2.21 was seen to
# hang on virtual devices of two cores.
CHOOSING = {
    "a window": {"cadence": Cadence(2, 9, 3)},
    "LookSAM": {"variant": sam.looksam.build(3, 0.7)},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_of_any_kind_is_tensorflows(name):
    recipe, batches = recipe_of(**RECIPES[name]), fixtures.batches(12, BATCH)
    run = Run(recipe, batches)
    rows = run.train(5, 7)
    expected, their_rows = theirs(recipe, batches)
    assert_close(run.arrays(), expected)
    np.testing.assert_allclose(rows, their_rows, atol=1e-5)


@pytest.mark.parametrize("name", CHOOSING)
def test_members_that_act_now_and_then_are_tensorflows(name):
    recipe, batches = recipe_of(**CHOOSING[name]), fixtures.batches(12, BATCH)
    run = Run(recipe, batches, replicas=1)
    rows = run.train(5, 7)
    expected, their_rows = theirs(recipe, batches, replicas=1)
    # LookSAM's direction is a difference of nearly equal gradients.
    assert_close(run.arrays(), expected, atol=2e-5)
    np.testing.assert_allclose(rows, their_rows, atol=1e-5)


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
            data = tf.data.Dataset.from_tensor_slices((images, labels, mask))
            data = data.batch(BATCH // REPLICAS, drop_remainder=True)
            return loop_lib.stamped(data.map(Batch))

        iterator = iter(strategy.distribute_datasets_from_function(input_fn))
        expected, _ = other(iterator, tf.constant(4, tf.int64))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        sums.append(found.numpy())
    assert (sums[0] != sums[1]).any()  # The average is another network.
    for a, b in zip(run.arrays(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("sync", "count"), [("global", 2), ("replica", 1), ("2", 2)])
def test_the_optimized_program_sends_what_the_exchange_declares(sync, count):
    import jax

    from sam_pod.pjrt import program as program_lib

    run = Run(recipe_of(sync=sync), fixtures.batches(1, BATCH))
    program = programs.train_step(
        run.recipe,
        (6, 6, 3),
        num_replicas=REPLICAS,
        per_replica_batch_size=BATCH // REPLICAS,
    )
    assert len(program.exchanges) == count
    shapes = [
        jax.ShapeDtypeStruct(
            (t.shape[0] * REPLICAS, *t.shape[1:])
            if t.role in ("images", "labels")
            else t.shape,
            t.dtype,
        )
        for t in program.inputs
        if t.role != "replica_id"
    ]
    made = program_lib.mapped(program, run.runtime.strategy.mesh)
    compiled = made.lower(*shapes).compile()
    text = compiled.as_text()
    assert sum(" all-reduce(" in line for line in text.splitlines()) == count
    # All that a step updates is written in place.
    assert compiled.memory_analysis().alias_size_in_bytes == sum(
        program.inputs[i].num_bytes for i, _ in program.aliases
    )
