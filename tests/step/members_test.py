"""Each member in the compiled step: over replicas, reduced to SAM, and when it acts."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.machines import groups
from sam_pod.sam.roles import Role
from sam_pod.step import cadence, exchange
from tests import fixtures
from tests.machines.groups_test import assert_equal
from tests.step import members

eager = members.eager


def assert_same(a, b):
    for mine, expected in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(mine, expected)


# A share of each replica's own examples is another of each mix of them.
SPLIT = {
    **{
        name: m[2]
        for name, m in members.MEMBERS.items()
        if name not in ("esam", "msam")
    },
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


# (replicas, sync, micro-batches) whose groups have six examples: parts of one replica,
# replicas alone, groups of replicas, and parts of a group of all.
ALONE = (1, "1", 2)
MIXES = {2: [(2, "1", 1), (2, "2", 2)], 4: [(2, "2", 2), (4, "2", 1)]}


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *((name, 2) for name in ("gsam", "friendly")),
        *(
            pytest.param(name, 4, marks=pytest.mark.slow)
            for name in SPLIT
            if name not in ("1", "unit", "asam, inf")  # As others, by another norm.
        ),
    ],
)
def test_every_split_into_groups_of_m_gives_the_same_update(name, most):
    variant = BARE.get(name, SPLIT[name])
    first, *others = [
        members.train(variant, replicas=n, sync=sync, micro_batches=parts, norm=False)
        for n, sync, parts in (ALONE, *MIXES[most])
    ]
    for other in others:
        assert_equal(first, other, 1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "looksam",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("friendly", "gsam")),
    ],
)
def test_replicas_that_ascend_together_equal_one(name):
    one = members.train(SPLIT[name], norm=False, steps=4)
    for count in (2, 4):
        assert_equal(
            one, members.train(SPLIT[name], norm=False, steps=4, replicas=count), 1e-12
        )
    assert_equal(
        one, members.train(SPLIT[name], norm=False, steps=4, accumulate_steps=2), 1e-12
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
        members.train(EQUAL[name])[0], members.train(sam.sam.build())[0], strict=True
    ):
        np.testing.assert_array_equal(mine, expected)


def test_asam_of_ones_is_sam_bit_for_bit():
    ones = sam.asam.build((Role.BIAS,) * 5)
    assert_same(members.train(ones), members.train(sam.sam.build()))


@pytest.mark.parametrize(
    "variant", [sam.wsam.build(0), sam.gsam.build(0, "clean"), sam.PLAIN]
)
def test_a_member_reduced_to_nothing_is_the_optimizer_bit_for_bit(variant):
    assert_same(members.train(variant), members.train(sam.PLAIN))


def test_a_window_is_the_member_inside_and_the_optimizer_outside():
    whole = members.train(sam.sam.build(), steps=4)
    for when in ((0, 4), (0, 9), (0, None, 1)):
        same = members.train(sam.sam.build(), steps=4, cadence=cadence.Cadence(*when))
        assert_same(same, whole)
    never = members.train(sam.sam.build(), steps=4, cadence=cadence.Cadence(4, 9))
    assert_same(never, members.train(sam.PLAIN, steps=4))
    rows = members.train(sam.sam.build(), steps=6, cadence=cadence.Cadence(1, 5, 2))[1]
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
    _, rows, _, recipe = members.train(sam.looksam.build(2), steps=4)
    assert recipe.metrics == ("train/new_part_norm",)
    np.testing.assert_array_equal(np.isnan(rows[:, 8]), [False, True, False, True])
    _, rows, _, recipe = members.train(sam.friendly.build(), steps=3)
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
    variant = SPLIT.get(name) or members.MEMBERS[name][2]
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
        for sync in ("replica", "2"):
            *_, state, _ = members.train(
                SPLIT[name], replicas=4, steps=5, norm=False, sync=sync
            )
            for copies in fixtures.copies(
                strategy, [v for m in state.memory.values() for v in m]
            ):
                for copy in copies[1:]:
                    np.testing.assert_array_equal(copy, copies[0])
