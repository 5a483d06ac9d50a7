"""The training step as a TPU runs it: traced, lowered, executed, collectives counted.

See sam_pod/lowering; no chip has run it.
"""

import collections
import functools
import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.lowering import execute, made_up_tpu, private, programs
from sam_pod.machines import groups, replicas
from sam_pod.models import batch_norm
from sam_pod.step import algorithm, optimizers
from sam_pod.step import state as state_lib
from tests import fixtures

CORES, BATCH = 4, 16
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
OPTIMIZERS = {
    "sgd": optimizers.sgd,
    "adam": optimizers.adam,
    "adamw": lambda: optimizers.adam(decoupled_weight_decay=0.1),
}


def lower_step(recipe):
    """Return the program of one of CORES replicas."""
    return programs.train_step(
        recipe, (6, 6, 3), num_replicas=CORES, per_replica_batch_size=BATCH // CORES
    )


def run_steps(recipe, batches):
    """Run the lowered program on virtual devices; return (values, reports)."""
    values, reports = programs.initial_values(recipe), []
    run = execute.Executable(lower_step(recipe))
    size = BATCH // CORES
    rows = [
        groups.rows(
            tf.constant(core),
            size,
            recipe.groups.among(CORES),
            recipe.micro_batches,
        ).numpy()
        for core in range(CORES)
    ]
    flat = [[np.asarray(v) for v in tf.nest.flatten(values)]] * CORES
    for x, y in batches:
        outputs = run(
            [[*flat[c], np.int32(c), x[rows[c]], y[rows[c]]] for c in range(CORES)]
        )
        for other in outputs[1:]:  # Replicas are equal to the last bit.
            for mine, first in zip(other, outputs[0], strict=True):
                np.testing.assert_array_equal(mine, first)
        reports.append(outputs[0][-1])
        flat = [output[:-1] for output in outputs]
    return tf.nest.pack_sequence_as(values, flat[0]), np.stack(reports)


def reference(recipe, batches, num_replicas=1):
    """Run the same steps without a TPU's program, on real replicas."""
    if num_replicas == 1:
        strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    else:
        strategy = fixtures.mirrored(num_replicas)
    return fixtures.train(strategy, recipe, batches)


def assert_equal(values, reports, state, rows, bound=2e-6):
    np.testing.assert_allclose(reports, rows, atol=1e-5)
    for mine, expected in zip(values.weights, state.weights, strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), rtol=0, atol=bound)
    for mine, expected in zip(values.stats, state.stats, strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), rtol=0, atol=bound)


@pytest.mark.parametrize("optimizer", [slow("sgd"), slow("adam"), "adamw"])
def test_the_lowered_step_equals_the_whole_batch_on_one_device(optimizer):
    recipe = fixtures.small_recipe(
        fixtures.small_model(norm=False), optimizer=OPTIMIZERS[optimizer]()
    )
    batches = fixtures.batches(3, BATCH)
    values, reports = run_steps(recipe, batches)
    assert values.step == 3
    assert_equal(values, reports, *reference(recipe, batches))
    moved = [
        np.abs(a - b).max()
        for a, b in zip(
            values.weights, recipe.network.initial_weights().values(), strict=True
        )
    ]
    assert min(moved) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sync", "parts", "chunks"),
    [
        # tests/preflight/execution_test.py compares the others with the whole batch.
        ("norm", 1, 1),
        ("2", 2, 1),
        ("replica", 2, 2),
    ],
)
def test_every_mode_equals_real_replicas(sync, parts, chunks):
    recipe = fixtures.small_recipe(
        fixtures.small_model(),
        sync=sync,
        micro_batches=parts,
        accumulate_steps=chunks,
    )
    batches = fixtures.batches(3, BATCH)
    assert_equal(
        *run_steps(recipe, batches), *reference(recipe, batches, num_replicas=CORES)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        "crop,flip,autoaugment,brightness,color_jitter,cutout,mixup,cutmix",
        "randaugment,cutmix",
        "crop,flip,batch_cutout",  # Whose crop reflects.
        "",  # Smooth labels alone.
    ],
)
def test_augmentation_of_a_tpu_equals_that_of_one_device(names):
    fill = "reflect" if "batch_cutout" in names else "zero"
    net = fixtures.small_model(norm=False)
    recipe = fixtures.augmented_recipe(net, names, crop_fill=fill)
    batches = fixtures.batches(2, BATCH)
    assert_equal(*run_steps(recipe, batches), *reference(recipe, batches))
    assert {kind for kind, _, _ in collectives(lower_step(recipe))} == {"all-reduce"}


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["global", "2"])
def test_shared_batch_norm_equals_the_groups_on_one_device_each(sync):
    size = groups.size(sync, CORES)
    net = fixtures.small_model()
    expected = reference(
        fixtures.small_recipe(fixtures.small_model(), micro_batches=CORES // size),
        batches := fixtures.batches(3, BATCH),
    )
    batch_norm.share_batches(
        net.model,
        lambda tensors: replicas.group_mean(tensors, size),
        over_all_replicas=size == CORES,
    )
    assert_equal(*run_steps(fixtures.small_recipe(net, sync=sync), batches), *expected)


def collectives(program):
    """Return (kind, bytes, replica groups) of all that a program sends anywhere."""
    text = private.XLA_COMPUTATION.get()(program.hlo).as_hlo_text()
    found = []
    for line in text.splitlines():
        match = re.search(
            r"= (.*?) (all-reduce|all-gather|all-to-all|reduce-scatter"
            r"|collective-permute|send|recv|infeed|outfeed)\(",
            line,
        )
        if match:
            members = re.search(r"replica_groups=(\{\{.*?\}\})", line)
            found.append((match[2], num_bytes(match[1]), members and members[1]))
    return found


BYTES = {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "bf16": 2, "pred": 1}


def num_bytes(shapes):
    return sum(
        BYTES[kind] * int(np.prod([int(d) for d in dims.split(",") if d] or [1]))
        for kind, dims in re.findall(r"\b([a-z]+[0-9]+|pred)\[([0-9,]*)\]", shapes)
    )


def gradient_bytes(recipe):
    return sum(w.nbytes for w in recipe.network.initial_weights().values())


@pytest.mark.parametrize(
    ("sync", "ascent", "groups_of"),
    [
        ("global", 1, 4),
        ("2", 1, 2),
        pytest.param("replica", 0, 4, marks=pytest.mark.slow),
        pytest.param("norm", 0, 4, marks=pytest.mark.slow),
    ],
)
def test_the_step_has_the_collectives_of_its_mode_and_no_other(sync, ascent, groups_of):
    """Bytes of the ascent's all-reduces, then of the descent's bucket."""
    recipe = fixtures.small_recipe(fixtures.small_model(dropout=0.5), sync=sync)
    found = collectives(lower_step(recipe))
    assert {kind for kind, _, _ in found} == {"all-reduce"}
    everyone = "{{0,1,2,3}}"
    by_group = collections.Counter()
    for _, size, members in found:
        by_group[members] += size
    whole = gradient_bytes(recipe)
    stats = sum(s.nbytes for s in recipe.network.initial_stats().values())
    scalars = 4 * 4  # loss, perturbed loss, accuracy, norm
    scalars += 4 * (sync == "norm")
    if groups_of == 4:
        assert by_group == {everyone: (1 + ascent) * whole + stats + scalars}
    else:
        assert by_group == {
            everyone: whole + stats + scalars,
            "{{0,1},{2,3}}": ascent * whole,
        }
    assert len(found) == (1 + ascent) * 5 + 2 + scalars // 4


def test_the_plain_optimizer_reduces_one_gradient():
    recipe = fixtures.small_recipe(fixtures.small_model(), rho=0.0)
    found = collectives(lower_step(recipe))
    assert sum(size for _, size, _ in found) == gradient_bytes(recipe) + 2 * 16 + 3 * 4


@pytest.mark.slow
def test_a_double_reduction_would_be_seen():
    """What Keras' optimizers do inside a replica: reduce the mean gradient again."""
    update = optimizers.sgd(0.9, False).update
    summed = optimizers.Optimizer(
        ("velocity",), lambda g, *rest: update(replicas.total(g), *rest)
    )
    recipe = fixtures.small_recipe(fixtures.small_model(norm=False), optimizer=summed)
    batches = fixtures.batches(1, BATCH)
    with pytest.raises(AssertionError):
        assert_equal(*run_steps(recipe, batches), *reference(recipe, batches))


@pytest.mark.slow
def test_inside_strategy_run_the_graph_holds_what_the_lowered_program_does():
    """The trace of the real strategy.run, replication and all."""
    made_up = made_up_tpu.strategy(CORES)
    recipe = fixtures.small_recipe(fixtures.small_model(dropout=0.5))
    state = state_lib.create(made_up, recipe.network, recipe.optimizer)

    def replica(images, labels):
        values, report = algorithm.replica_step(
            state.read(), Batch(images, labels), recipe
        )
        state.write(values)
        return report

    @tf.function
    def traced(images, labels):
        return made_up.run(replica, args=(images, labels))

    graph = traced.get_concrete_function(
        tf.TensorSpec((4, 6, 6, 3), tf.uint8), tf.TensorSpec((4,), tf.int32)
    ).graph.as_graph_def()
    nodes = list(
        itertools.chain(graph.node, *(f.node_def for f in graph.library.function))
    )
    operations = collections.Counter(node.op for node in nodes)
    weights, stats, scalars = 5, 2, 4
    assert operations["CrossReplicaSum"] == 2 * weights + stats + scalars
    assert operations["AllToAll"] == 0
    assert operations["TPUReplicateMetadata"] == 1
