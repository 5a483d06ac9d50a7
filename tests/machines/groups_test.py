"""Which rows ascend together, and the same update from every way of splitting them."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import groups, replicas
from sam_pod.models import batch_norm, network
from sam_pod.step import optimizers
from tests import fixtures

BATCH = 24


# Operations one by one: of a few steps most of the time is spent on tracing the loop.
eagerly = pytest.mark.usefixtures("without_graphs")
pytestmark = pytest.mark.filterwarnings("ignore:.*does not apply to tf.data functions")


@pytest.fixture
def without_graphs():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def one():
    return tf.distribute.OneDeviceStrategy("/cpu:0")


@pytest.mark.parametrize(
    ("num_replicas", "group_size", "micro_batches"),
    list(itertools.product([1, 2, 4, 8], [1, 2, 4], [1, 2, 3])),
)
def test_groups_are_consecutive_rows_and_no_row_is_left(
    num_replicas, group_size, micro_batches
):
    if num_replicas % group_size:
        pytest.skip("no such groups")
    size = 6
    rows = np.stack(
        [
            groups.rows(tf.constant(r), size, group_size, micro_batches).numpy()
            for r in range(num_replicas)
        ]
    )
    assert sorted(rows.flat) == list(range(num_replicas * size))
    m = group_size * size // micro_batches
    parts = rows.reshape(num_replicas // group_size, group_size, micro_batches, -1)
    for group, part in itertools.product(range(len(parts)), range(micro_batches)):
        together = sorted(parts[group, :, part].flat)
        first = (group * micro_batches + part) * m
        assert together == list(range(first, first + m))


@pytest.mark.parametrize(
    ("sync", "expected"), [("global", 8), ("replica", 1), ("norm", 1), ("4", 4)]
)
def test_sizes(sync, expected):
    assert groups.size(sync, 8) == expected


@pytest.mark.parametrize(
    ("sync", "message"),
    [
        ("3", r"`sam\.sync` is 3; .*\(8\): take one of \[1, 2, 4, 8\]"),
        ("0", "is 0"),
        ("-2", "is -2"),
        ("16", "is 16"),
        ("gobal", "'gobal'.*Did you mean 'global'"),
        ("2.0", r"'2\.0'"),
    ],
)
def test_a_group_that_does_not_fit_is_refused(sync, message):
    with pytest.raises(errors.UserError, match=message):
        groups.size(sync, 8)


class Float64(network.Network):
    """A network whose arithmetic is float64 from the pixels to the loss."""

    def __init__(self, model):
        super().__init__(model)
        self.average = None

    def initial_weights(self):
        return {n: v.astype(np.float64) for n, v in super().initial_weights().items()}

    def initial_stats(self):
        return {n: v.astype(np.float64) for n, v in super().initial_stats().items()}

    def apply(self, weights, stats, images, *, key=None, **more):
        kernel, *norm, dense, bias = weights
        x = tf.nn.conv2d(tf.cast(images, tf.float64), kernel, 1, "VALID")
        if norm:
            x, stats = self.normalize(x, *norm, stats, key is not None)
        logits = tf.reduce_mean(tf.nn.relu(x), [1, 2]) @ dense + bias
        return network.Outputs(logits, stats, tf.zeros([], tf.float64))

    def normalize(self, x, gamma, beta, stats, training):
        mean, variance = stats
        if training:
            average = self.average or (lambda tensors: tensors)
            mean, variance = batch_norm._shared_moments(x, stats[0], average)
            stats = [
                0.9 * s + 0.1 * b for s, b in zip(stats, (mean, variance), strict=True)
            ]
        x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)
        return x, stats


@functools.cache
def float64_train(num_replicas, *, norm=False, shared=0, eager=True, **recipe):
    """Return weights and statistics after two steps in float64.

    `shared` is how many replicas are one batch to BatchNorm.
    """
    assert tf.config.functions_run_eagerly() == eager
    net = Float64(fixtures.small_model(norm=norm).model)
    if shared:
        net.average = lambda tensors: replicas.group_mean(tensors, shared)
    recipe = fixtures.small_recipe(
        net,
        rho=0.5,
        optimizer=optimizers.sgd(0.9),
        schedule=lambda step, scale: tf.constant(0.1, tf.float64),
        **recipe,
    )
    strategy = fixtures.mirrored(num_replicas) if num_replicas > 1 else one()
    state, rows = fixtures.train(strategy, recipe, fixtures.batches(2, BATCH))
    return [v.numpy() for v in [*state.weights, *state.stats]], rows


def assert_equal(a, b, bound):
    for mine, expected in zip(a[0], b[0], strict=True):
        assert mine.dtype == np.float64
        np.testing.assert_allclose(mine, expected, rtol=0, atol=bound)
    np.testing.assert_allclose(a[1], b[1], atol=1e-5)


def mixes(m, counts):
    """Return every (replicas, sync, micro-batches) whose groups have m examples."""
    for num_replicas in counts:
        for size in (s for s in (1, 2, 4, 8) if num_replicas % s == 0):
            per_group = size * BATCH // num_replicas
            if per_group % m == 0 and (BATCH // num_replicas) % (per_group // m) == 0:
                yield num_replicas, str(size), per_group // m


@eagerly
@pytest.mark.slow
# Eight replicas, which take longest, once.
@pytest.mark.parametrize(
    ("m", "counts"),
    [(24, (1, 2, 4)), (12, (1, 2, 4)), (6, (1, 2, 4, 8)), (3, (1, 2, 4))],
)
def test_every_split_into_groups_of_m_gives_the_same_update(m, counts):
    first, *others = [
        float64_train(count, sync=sync, micro_batches=parts)
        for count, sync, parts in mixes(m, counts)
    ]
    assert len(others) >= 2
    for other in others:
        assert_equal(first, other, 1e-15)


@pytest.mark.slow
def test_the_compiled_loop_gives_the_same_update_too():
    whole = float64_train(1, eager=False, micro_batches=2)
    accumulated = float64_train(1, eager=False, micro_batches=2, accumulate_steps=3)
    apart = float64_train(2, eager=False, sync="replica")
    for other in (accumulated, apart):
        assert_equal(whole, other, 1e-15)


@eagerly
def test_other_groups_give_another_update():
    by_m = [float64_train(1, micro_batches=n)[0] for n in (1, 2, 4)]
    for a, b in itertools.pairwise(by_m):
        assert max(np.abs(x - y).max() for x, y in zip(a, b, strict=True)) > 1e-6


@eagerly
def test_the_norm_of_all_micro_batches_is_one_over_replicas_and_parts():
    first = float64_train(2, sync="norm", micro_batches=2)
    assert_equal(first, float64_train(1, sync="norm", micro_batches=4), 1e-15)


@pytest.mark.slow
@eagerly
def test_the_norm_of_four_replicas_is_that_of_two_with_two_parts_each():
    first = float64_train(4, sync="norm")
    assert_equal(first, float64_train(2, sync="norm", micro_batches=2), 1e-15)


@eagerly
@pytest.mark.parametrize(
    ("count", "parts", "chunks"),
    [
        (1, 1, 3),
        (2, 2, 3),
        *(
            pytest.param(*mix, marks=pytest.mark.slow)
            for mix in ((1, 2, 2), (1, 2, 3), (2, 1, 4))
        ),
    ],
)
def test_accumulation_changes_nothing(count, parts, chunks):
    settings = {"micro_batches": parts, "sync": "replica"}
    assert_equal(
        float64_train(count, **settings),
        float64_train(count, accumulate_steps=chunks, **settings),
        1e-15,
    )


@pytest.mark.slow
@eagerly
def test_batch_norm_of_the_group_makes_the_splits_equal_too():
    whole = float64_train(1, norm=True)
    halves = float64_train(1, norm=True, micro_batches=2)
    assert_equal(halves, float64_train(2, norm=True, sync="replica"), 4e-15)
    grouped = float64_train(2, norm=True, sync="2", micro_batches=2, shared=2)
    assert_equal(halves, grouped, 4e-15)
    own = float64_train(2, norm=True)
    assert (
        max(np.abs(a - b).max() for a, b in zip(whole[0], own[0], strict=True)) > 1e-4
    )


@pytest.mark.slow
@eagerly
def test_batch_norm_of_all_or_of_two_of_four_replicas_is_that_of_one_or_two_parts():
    whole = float64_train(1, norm=True)
    assert_equal(whole, float64_train(4, norm=True, shared=4), 4e-15)
    halves = float64_train(1, norm=True, micro_batches=2)
    grouped = float64_train(4, norm=True, sync="2", shared=2)
    assert_equal(halves, grouped, 4e-15)


def float32_train(num_replicas, **recipe):
    """Train the package's own layer, to which share_batches has given the replicas."""
    net = fixtures.small_model()
    if num_replicas > 1:
        batch_norm.share_batches(
            net.model,
            lambda tensors: replicas.group_mean(tensors, num_replicas),
            over_all_replicas=True,
        )
    strategy = fixtures.mirrored(num_replicas) if num_replicas > 1 else one()
    recipe = fixtures.small_recipe(net, **recipe)
    state, rows = fixtures.train(strategy, recipe, fixtures.batches(2, BATCH))
    return [v.numpy() for v in [*state.weights, *state.stats]], rows


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_the_shared_layer_makes_replicas_equal_one(count):
    alone, rows = float32_train(1)
    many, many_rows = float32_train(count)
    for mine, expected in zip(many, alone, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=3e-7)
    np.testing.assert_allclose(many_rows, rows, atol=1e-5)
