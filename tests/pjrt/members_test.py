"""Each member, sync mode and type, stepped by JAX: the state that TensorFlow ends with.

Under a MirroredStrategy, but for members that draw: XLA's bits are not those of
TensorFlow's kernels, so there the other side is TensorFlow's step compiled by XLA.
"""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.data.input.batches import Batch
from sam_pod.step import algorithm
from sam_pod.step import state as state_lib
from sam_pod.step.cadence import Cadence
from tests import fixtures
from tests.pjrt import needs_jax, steps

pytestmark = needs_jax

ROLES = steps.smooth_model().roles()
# Name: what of the recipe is another's, and the number of replicas.
CASES = {
    "micro-batches": ({"micro_batches": 2}, 4),
    "micro-batches of groups": ({"micro_batches": 2, "sync": "2"}, 4),
    "chunks": ({"accumulate_steps": 2}, 2),
    "chunks of micro-batches": (
        {"accumulate_steps": 2, "micro_batches": 2, "sync": "replica"},
        2,
    ),
    "plain": ({"rho": 0.0}, 2),
    "clipping": ({"clip_norm": 0.5}, 2),
    "largest": ({"variant": sam.sam.build("1")}, 2),
    "layerwise": ({"variant": sam.sam.build("2", "trust"), "sync": "norm"}, 2),
    "energy": ({"variant": sam.sam.energy(0.2), "sync": "replica"}, 2),
    "random": ({"variant": sam.random.build()}, 1),
    "asam": ({"variant": sam.asam.build(ROLES), "sync": "2"}, 4),
    "gsam": ({"variant": sam.gsam.build(0.4)}, 2),
    "gsam of groups": ({"variant": sam.gsam.build(0.4), "sync": "2"}, 4),
    "looksam": ({"variant": sam.looksam.build(3, 0.7), "sync": "replica"}, 2),
    "esam": ({"variant": sam.esam.build()}, 1),
    "wsam": ({"variant": sam.wsam.build()}, 2),
    "sam_on": ({"variant": sam.sam_on.build(ROLES), "sync": "replica"}, 2),
    "friendly": ({"variant": sam.friendly.build()}, 2),
    "vasso": ({"variant": sam.vasso.build(), "sync": "replica"}, 2),
    "msam": ({"variant": sam.msam.build()}, 2),
    "a window": ({"cadence": Cadence(2, 9, 3)}, 2),
    "looksam in a window": (
        {"variant": sam.looksam.build(2, 0.7), "cadence": Cadence(3, 10)},
        2,
    ),
}


# What these do, others do as well.
SLOW = {"micro-batches", "chunks", "gsam", "looksam"}
SYNC_SLOW = ("replica", "norm")


def cases():
    """Yield each name, some as slow tests."""
    for name in CASES:
        marks = (pytest.mark.slow,) if name in SLOW else ()
        yield pytest.param(name, marks=marks)


def by_xla(recipe, batches):
    strategy = tf.distribute.get_strategy()
    state = state_lib.create(strategy, recipe.network, recipe.optimizer, recipe.variant)

    @tf.function(jit_compile=True, autograph=False)
    def step(values, images, labels):
        return algorithm.replica_step(values, Batch(images, labels), recipe)

    rows = []
    for images, labels in batches:
        values, row = step(state.read(), images, labels)
        state.write(values)
        rows.append(row.numpy())
    return state_lib.to_arrays(state), np.stack(rows)


@pytest.mark.parametrize("name", cases())
def test_a_step_of_any_kind_is_tensorflows(name):
    changes, replicas = CASES[name]
    recipe, batches = steps.recipe_of(**changes), fixtures.batches(12, steps.BATCH)
    run = steps.Run(recipe, batches, replicas)
    rows = run.train(5, 7)
    if recipe.variant.draws:
        expected, their_rows = by_xla(recipe, batches)
    else:
        expected, their_rows = steps.theirs(recipe, batches, replicas)
    # LookSAM's direction is a difference of nearly equal gradients.
    atol = 2e-5 if recipe.variant.between else 2e-6
    steps.assert_close(run.arrays(), expected, atol)
    np.testing.assert_allclose(rows, their_rows, atol=1e-5)
    assert len(run.compiled) == len(recipe.programs)
    for program, compiled in run.compiled:
        declared = [exchange.replicas for exchange in program.exchanges]
        assert steps.sizes_of_all_reduces(compiled) == declared


@pytest.mark.parametrize(
    "sync",
    ["global", "2", *(pytest.param(s, marks=pytest.mark.slow) for s in SYNC_SLOW)],
)
def test_a_hundred_steps_are_tensorflows(sync):
    recipe, batches = steps.recipe_of(sync=sync), fixtures.batches(100, steps.BATCH)
    run = steps.Run(recipe, batches, as_main=True)
    rows = run.train(60, 40)
    expected, their_rows = steps.theirs(recipe, batches)
    steps.assert_close(run.arrays(), expected)
    np.testing.assert_allclose(rows, their_rows, atol=1e-5)
    assert int(run.state.step.numpy()) == 100


def test_in_bfloat16_they_part_by_its_rounding_alone():
    """No farther than bfloat16 parts from float32."""
    batches = fixtures.batches(12, steps.BATCH)
    half = steps.recipe_of(steps.smooth_model("mixed_bfloat16"))
    run = steps.Run(half, batches, 2, as_main=True)
    before = run.arrays()
    run.train(12)
    found, (theirs, _) = run.arrays(), steps.theirs(half, batches, 2)
    whole, _ = steps.theirs(steps.recipe_of(), batches, 2)
    count = len(run.state.weights)
    weights = slice(-count, None)  # By the names of the parts they are the last.
    moved, apart, rounding = (
        steps.distance(a[weights], b[weights])
        for a, b in ((theirs, before), (found, theirs), (whole, theirs))
    )
    assert 0 < apart < 2 * rounding < 0.1 * moved
    assert [a.dtype for a in found] == [a.dtype for a in theirs]
