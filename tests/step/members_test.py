"""Each member in the compiled step: against NumPy, over replicas, and when it acts."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.machines import groups
from sam_pod.models import network
from sam_pod.sam.roles import Role
from sam_pod.step import cadence, exchange, optimizers, passes
from sam_pod.step import rho as rho_lib
from tests import fixtures, numpy_net
from tests.machines.groups_test import BATCH, Float64, assert_equal
from tests.sam import reference

RATE, MOMENTUM, SEED = 0.1, 0.9, 0
ROLES = (Role.KERNEL, Role.SCALE, Role.OFFSET, Role.KERNEL, Role.BIAS)


class Net(Float64):
    """The float64 net, with dropout of what is pooled by a mask from the key."""

    def apply(self, weights, stats, images, *, key=None):
        kernel, *norm, dense, bias = weights
        x = tf.nn.conv2d(tf.cast(images, tf.float64), kernel, 1, "VALID")
        if norm:
            x, stats = self.normalize(x, *norm, stats, key is not None)
        x = tf.reduce_mean(tf.nn.relu(x), [1, 2])
        if key is not None:
            x *= drop_mask(key, x.shape)
        return network.Outputs(x @ dense + bias, stats, tf.zeros([], tf.float64))


def drop_mask(key, shape):
    drawn = tf.random.stateless_uniform(shape, key, alg="philox")
    return tf.cast(drawn < 0.75, tf.float64) / 0.75


@functools.cache
def net(norm=True):
    return Net(fixtures.small_model(norm=norm).model)


def train(variant, *, replicas=1, steps=2, norm=True, rho=0.5, **more):
    recipe = fixtures.small_recipe(
        net(norm),
        optimizer=more.pop("optimizer", optimizers.sgd(MOMENTUM, False)),
        schedule=lambda step, scale: tf.constant(RATE, tf.float64),
        **{"variant": variant, "rho": rho, "seed": SEED, **more},
    )
    one = tf.distribute.get_strategy()
    strategy = fixtures.mirrored(replicas) if replicas > 1 else one
    state, rows = fixtures.train(strategy, recipe, fixtures.batches(steps, BATCH))
    arrays = [v.numpy() for v in [*state.weights, *state.stats]]
    return arrays, rows, state, recipe


def assert_same(a, b):
    for mine, expected in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.fixture(autouse=True)
def eager():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def oracle(images, labels, step):
    """Return the loss of one batch, by hand."""
    images = images / 255
    shapes = [w.shape for w in net().initial_weights().values()]
    ends = np.cumsum([0, *(int(np.prod(s)) for s in shapes)])
    tensors = [slice(a, b) for a, b in itertools.pairwise(ends)]
    row = tf.constant(0, tf.int64)
    key = passes.random_key(SEED, 1, tf.constant(step, tf.int64), row)

    def parts(w):
        return [w[t].reshape(s) for t, s in zip(tensors, shapes, strict=True)]

    def gradient(w, chosen=None):
        x, y = (images, labels) if chosen is None else (images[chosen], labels[chosen])
        mask = drop_mask(key, (len(x), shapes[3][0])).numpy()
        found = numpy_net.loss_and_gradient(parts(w), x, y, mask)[1]
        return np.concatenate([g.ravel() for g in found])

    def losses(w):
        mask = drop_mask(key, (len(images), shapes[3][0])).numpy()
        return numpy_net.losses(parts(w), images, labels, mask)

    def by_role(*chosen):
        return np.concatenate(
            [
                np.full(int(np.prod(s)), r in chosen)
                for s, r in zip(shapes, ROLES, strict=True)
            ]
        )

    return reference.Oracle(
        gradient,
        losses,
        by_role(Role.KERNEL, Role.SCALE),
        by_role(Role.SCALE, Role.OFFSET),
        tensors,
    )


# Name: the reference's name and options, the member, its rho.
MEMBERS = {
    "sam": ("sam", {}, sam.sam.build(), 0.5),
    "inf": ("sam", {"norm": "inf"}, sam.sam.build("inf"), 0.01),
    "1": ("sam", {"norm": "1"}, sam.sam.build("1"), 0.5),
    "trust": ("sam", {"layerwise": "trust"}, sam.sam.build("2", "trust"), 0.1),
    "unit": ("sam", {"layerwise": "unit"}, sam.sam.build("2", "unit"), 0.1),
    "energy": ("sam", {"energy": 0.2}, sam.sam.energy(0.2), 0.5),
    "asam": ("asam", {"eta": 0.01}, sam.asam.build(ROLES), 0.5),
    "asam, inf": (
        "asam",
        {"eta": 0.01, "norm": "inf"},
        sam.asam.build(ROLES, norm="inf"),
        0.01,
    ),
    "gsam": ("gsam", {"alpha": 0.4}, sam.gsam.build(0.4), 0.5),
    "gsam, clean": (
        "gsam",
        {"alpha": 0.4, "minimizes": "clean"},
        sam.gsam.build(0.4, "clean"),
        0.5,
    ),
    "looksam": ("looksam", {"k": 3, "alpha": 0.3}, sam.looksam.build(3, 0.3), 0.5),
    "esam": ("esam", {"beta": 0.6, "gamma": 0.5}, sam.esam.build(), 0.5),
    "esam, full": (
        "esam",
        {"beta": 0.6, "gamma": 1, "norm": "full"},
        sam.esam.build(0.6, 1, "full"),
        0.5,
    ),
    "wsam": ("wsam", {"gamma": 0.7}, sam.wsam.build(0.7), 0.5),
    "wsam, coupled": (
        "wsam",
        {"gamma": 0.7, "decoupled": False},
        sam.wsam.build(0.7, decoupled=False),
        0.5,
    ),
    "sam_on": ("sam_on", {}, sam.sam_on.build(ROLES), 0.5),
    "sam_on, reverse": (
        "sam_on",
        {"reverse": True},
        sam.sam_on.build(ROLES, reverse=True),
        0.5,
    ),
    "friendly": (
        "friendly",
        {"sigma": 1.0, "decay": 0.8},
        sam.friendly.build(1.0, 0.8),
        0.5,
    ),
    "vasso": ("vasso", {"theta": 0.4}, sam.vasso.build(0.4), 0.5),
    "msam": ("msam", {}, sam.msam.build(), 0.5),
}


# A member of each kind: both gradients, a period, a draw, a memory, roles of weights,
# parts of the batch, one pass.
FORMULAS = ("sam", "asam", "gsam", "looksam", "random", "friendly", "sam_on", "msam")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FORMULAS else pytest.mark.slow)
        for name in MEMBERS
    ],
)
def test_steps_are_those_of_the_formulas(name, pytestconfig):
    # More than LookSAM goes without an ascent, which is what takes most to tell.
    steps = 20 if pytestconfig.getoption("--slow") else 5
    member, options, variant, rho = MEMBERS[name]
    batches = fixtures.batches(steps, BATCH)
    oracles = [oracle(*batch, step) for step, batch in enumerate(batches)]
    masks = []
    for step in range(steps):
        key = passes.random_key(SEED, 3, tf.constant(step, tf.int64))
        drawn = tf.random.stateless_uniform([5], key, alg="philox")
        masks.append(drawn.numpy() < 0.6)
    start = [v.ravel() for v in net().initial_weights().values()]
    expected = reference.train(
        member,
        options,
        np.concatenate(start),
        oracles,
        rho=rho,
        rate=RATE,
        masks=masks,
    )
    found, *_ = train(variant, steps=steps, rho=rho_lib.constant(rho))
    weights = np.concatenate([w.ravel() for w in found[:5]])
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)


# A share of each replica's own examples is another of each mix of them.
SPLIT = {
    **{name: m[2] for name, m in MEMBERS.items() if name not in ("esam", "msam")},
    "esam": sam.esam.build(gamma=1),
    "random": sam.random.build(),
}
_BARE = (Role.KERNEL, Role.KERNEL, Role.BIAS)
BARE = {
    "asam": sam.asam.build(_BARE),
    "asam, inf": sam.asam.build(_BARE, norm="inf"),
    "sam_on": sam.sam_on.build((Role.KERNEL, Role.SCALE, Role.OFFSET)),
    "sam_on, reverse": sam.sam_on.build(
        (Role.KERNEL, Role.SCALE, Role.KERNEL), reverse=True
    ),
}


def without_dropout(monkeypatch):
    monkeypatch.setattr(
        "tests.step.members_test.drop_mask",
        lambda key, shape: tf.ones(shape, tf.float64),
    )


# (replicas, sync, micro-batches) whose groups have six examples: parts of one replica,
# replicas alone, groups of replicas, and parts of a group of all.
ALONE = (1, "1", 2)
MIXES = {2: [(2, "1", 1), (2, "2", 2)], 4: [(2, "2", 2), (4, "2", 1)]}


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *((name, 2) for name in ("gsam", "friendly")),
        *(pytest.param(name, 4, marks=pytest.mark.slow) for name in SPLIT),
    ],
)
def test_every_split_into_groups_of_m_gives_the_same_update(name, most, monkeypatch):
    without_dropout(monkeypatch)
    variant = BARE.get(name, SPLIT[name])
    first, *others = [
        train(variant, replicas=n, sync=sync, micro_batches=parts, norm=False)
        for n, sync, parts in (ALONE, *MIXES[most])
    ]
    for other in others:
        assert_equal(first, other, 1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "looksam",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("sam", "friendly", "gsam", "wsam")
        ),
    ],
)
def test_replicas_that_ascend_together_equal_one(name, monkeypatch):
    without_dropout(monkeypatch)
    one = train(SPLIT[name], norm=False, steps=4)
    for count in (2, 4):
        assert_equal(
            one, train(SPLIT[name], norm=False, steps=4, replicas=count), 1e-12
        )
    assert_equal(
        one, train(SPLIT[name], norm=False, steps=4, accumulate_steps=2), 1e-12
    )


EQUAL = {
    "gsam, alpha 0": sam.gsam.build(0.0),
    "wsam, gamma 0.5": sam.wsam.build(0.5, decoupled=False),
    "looksam, k 1": sam.looksam.build(1),
    "esam, 1 and 1": sam.esam.build(1, 1),
    "friendly, sigma 0": sam.friendly.build(0.0),
    "vasso, theta 1": sam.vasso.build(1),
    "sam_on of all": sam.sam_on.build((Role.SCALE,) * 5),
}


@pytest.mark.parametrize("name", EQUAL)
def test_a_member_reduced_to_sam_is_sam_bit_for_bit(name):
    for mine, expected in zip(
        train(EQUAL[name])[0], train(sam.sam.build())[0], strict=True
    ):
        np.testing.assert_array_equal(mine, expected)


def test_asam_of_ones_is_sam_bit_for_bit():
    ones = sam.asam.build((Role.BIAS,) * 5)
    assert_same(train(ones), train(sam.sam.build()))


@pytest.mark.parametrize(
    "variant", [sam.wsam.build(0), sam.gsam.build(0, "clean"), sam.PLAIN]
)
def test_a_member_reduced_to_nothing_is_the_optimizer_bit_for_bit(variant):
    assert_same(train(variant), train(sam.PLAIN))


def test_a_window_is_the_member_inside_and_the_optimizer_outside():
    whole = train(sam.sam.build(), steps=4)
    for when in ((0, 4), (0, 9), (0, None, 1)):
        same = train(sam.sam.build(), steps=4, cadence=cadence.Cadence(*when))
        assert_same(same, whole)
    never = train(sam.sam.build(), steps=4, cadence=cadence.Cadence(4, 9))
    assert_same(never, train(sam.PLAIN, steps=4))
    rows = train(sam.sam.build(), steps=6, cadence=cadence.Cadence(1, 5, 2))[1]
    np.testing.assert_allclose(rows[:, 7], [0, 0.5, 0, 0.5, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("variant", [sam.sam.build(), sam.looksam.build(3)])
@pytest.mark.parametrize(
    "when", [cadence.ALWAYS, cadence.Cadence(2, 11), cadence.Cadence(1, None, 4)]
)
def test_the_host_counts_programs_as_the_loop_does(variant, when):
    for step in range(15):
        said = when.place(variant, step)
        assert said == int(when.program(variant, tf.constant(step, tf.int64)))
        assert said < len(when.programs(variant))
    filled = tf.constant(False)
    if variant.between:
        assert int(when.program(variant, tf.constant(3, tf.int64), filled)) in (
            0,
            len(when.programs(variant)) - 1,
        )


def test_a_member_reports_its_own_where_it_has_it():
    _, rows, _, recipe = train(sam.looksam.build(2), steps=4)
    assert recipe.metrics == ("train/new_part_norm",)
    np.testing.assert_array_equal(np.isnan(rows[:, 8]), [False, True, False, True])
    _, rows, _, recipe = train(sam.friendly.build(), steps=3)
    assert rows[0, 8] == 0 and 0 < rows[1, 8] <= 1


@pytest.mark.parametrize(
    ("name", "sync", "parts", "expected"),
    [
        ("sam", "global", 1, [("ascent", 4, 1), ("descent", 4, 1)]),
        ("sam", "replica", 2, [("descent", 4, 1)]),
        ("sam", "norm", 1, [("norm", 4, 0), ("descent", 4, 1)]),
        ("sam", "2", 2, [("ascent", 2, 2), ("descent", 4, 1)]),
        ("random", "global", 1, [("descent", 4, 1)]),
        ("gsam", "global", 2, [("ascent", 4, 2), ("descent", 4, 2)]),
        ("gsam", "2", 1, [("ascent", 2, 1), ("group", 2, 1), ("descent", 4, 1)]),
        ("gsam", "replica", 1, [("descent", 4, 1)]),
        ("looksam", "replica", 1, [("descent", 4, 2)]),
        ("looksam", "global", 1, [("ascent", 4, 1), ("descent", 4, 1)]),
        ("friendly", "2", 1, [("ascent", 2, 1), ("descent", 4, 2)]),
        ("wsam", "replica", 3, [("descent", 4, 2)]),
        ("wsam, coupled", "replica", 1, [("descent", 4, 1)]),
        ("msam", "replica", 1, [("descent", 4, 1)]),
    ],
)
def test_what_is_exchanged(name, sync, parts, expected):
    variant = SPLIT.get(name) or MEMBERS[name][2]
    plan = exchange.plan(variant, groups.of(sync), parts, 4)
    assert [each[:3] for each in plan] == expected
    assert exchange.plan(variant, groups.of(sync), parts, 1) == ()
    if variant.between:
        between = exchange.plan(variant.between, groups.of(sync), parts, 4)
        assert [each[:3] for each in between] == [("descent", 4, 1)]


@pytest.mark.slow
def test_replicas_keep_one_memory_bit_for_bit():
    strategy = fixtures.mirrored(4)
    for name in ("friendly", "looksam", "vasso"):
        for sync in ("replica", "2", "global"):
            *_, state, _ = train(
                SPLIT[name], replicas=4, steps=5, norm=False, sync=sync
            )
            for copies in fixtures.copies(
                strategy, [v for m in state.memory.values() for v in m]
            ):
                for copy in copies[1:]:
                    np.testing.assert_array_equal(copy, copies[0])
