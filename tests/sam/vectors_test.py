"""Each member's first steps on a quadratic, against closed forms worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.sam.roles import Role

# L(w) = w'Aw / 2 at w = (1, -2): g = (1, -3), rho = 0.5.
A = tf.constant([[3.0, 1.0], [1.0, 2.0]], tf.float64)
RHO, RATE = 0.5, 0.1
KERNELS = (Role.KERNEL, Role.KERNEL)


def loss_fn(weights):
    w = tf.concat(weights, 0)
    return 0.5 * tf.tensordot(w, tf.linalg.matvec(A, w), 1), None


def start():
    return [tf.constant([1.0], tf.float64), tf.constant([-2.0], tf.float64)]


def flat(tensors):
    return np.concatenate([np.asarray(t) for t in tensors])


def steps(member, count, rho=RHO):
    """Return what plain SGD takes on each step, and the last memory."""
    weights, memory, taken = start(), member.start(start()), []
    for step in range(count):
        found = sam.gradient(loss_fn, weights, rho, member.at(step), memory)
        memory = found.memory
        taken.append(flat(found.gradient))
        weights = [w - RATE * g for w, g in zip(weights, found.gradient, strict=True)]
    return taken, memory


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (sam.sam.build(), (1, -3.790569)),
        (sam.sam.build("inf"), (2, -3.5)),
        (sam.sam.build("1"), (0.5, -4)),
        (sam.asam.build(KERNELS, eta=0), (0.260205, -4.890588)),
        (sam.asam.build(KERNELS, eta=0.01), (0.259078, -4.898961)),
        (sam.asam.build((Role.KERNEL, Role.BIAS)), (1.009525, -3.786601)),
        (sam.asam.build(KERNELS, norm="inf"), (1.51, -4.505)),
        (sam.gsam.build(0.4), (0.922003, -3.811146)),
        (sam.gsam.build(0.4, "clean"), (0.905132, -3.031623)),
        (sam.sam_on.build((Role.SCALE, Role.KERNEL)), (2.5, -2.5)),
        (sam.wsam.build(0, decoupled=False), (1, -3)),
        (sam.wsam.build(0.5, decoupled=False), (1, -3.790569)),
        (sam.wsam.build(0.9, decoupled=False), (1, -10.115125)),
        (sam.sam.energy(0.5), (1, -3.25)),
        (sam.sam.energy(5.0), (1, -3.790569)),
    ],
)
def test_one_step(member, expected):
    (taken,), _ = steps(member, 1)
    np.testing.assert_allclose(taken, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("member", "second", "memory"),
    [
        (
            sam.looksam.build(k=5, alpha=0.7),
            (-0.633286, -2.912667),
            {"direction": (-0.948683, -0.316228)},
        ),
        (
            sam.friendly.build(sigma=1, decay=0.9),
            (1.754392, -1.289390),
            {"mean": (1.007906, -2.934189)},
        ),
        (sam.vasso.build(0.9), (1.231939, -3.052310), {}),
    ],
)
def test_two_steps_of_a_member_that_remembers(member, second, memory):
    taken, kept = steps(member, 2)
    np.testing.assert_allclose(taken[0], (1, -3.790569), atol=1e-6)
    np.testing.assert_allclose(taken[1], second, atol=1e-6)
    for name, expected in memory.items():
        np.testing.assert_allclose(flat(kept[name]), expected, atol=1e-6)


def test_the_decoupled_sharpness_goes_beside_the_optimizer():
    weights = start()
    found = sam.gradient(loss_fn, weights, RHO, sam.wsam.build(0.9))
    np.testing.assert_allclose(flat(found.gradient), (1, -3))
    moved = flat(weights) - RATE * (flat(found.gradient) + flat(found.correction))
    np.testing.assert_allclose(moved, (0.9, -0.988488), atol=1e-6)


def test_the_kept_tensors_ascend_by_rho_over_beta():
    member, weights = sam.esam.build(beta=0.5, gamma=1), start()
    for seed in range(20):
        key = tf.constant([seed, 3], tf.int32)
        found = sam.gradient(loss_fn, weights, RHO, member, key=key)
        taken = tuple(np.round(flat(found.gradient), 6))
        if taken == (4, -2):  # w_1 alone is kept.
            return
    raise AssertionError("no mask kept w_1 alone")


def test_momentum_sam_overshoots_along_the_last_update():
    velocity, weights, taken = [tf.zeros([1], tf.float64)] * 2, start(), []
    for _ in range(2):
        found = sam.gradient(loss_fn, weights, RHO, sam.msam.build(), momentum=velocity)
        taken.append(flat(found.gradient))
        velocity = [
            0.9 * v - RATE * g for v, g in zip(velocity, found.gradient, strict=True)
        ]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
    np.testing.assert_allclose(taken, [(1, -3), (1, -1.709431)], atol=1e-6)
    np.testing.assert_allclose(flat(weights), (0.71, -1.259057), atol=1e-6)


@pytest.mark.parametrize("member", [sam.sam.build(), sam.sam.build("inf")])
def test_sam_ends_in_a_cycle_of_two(member):
    a, w = 3.0, tf.constant([0.4], tf.float64)
    for _ in range(400):
        found = sam.gradient(
            lambda ws: (0.5 * a * tf.reduce_sum(ws[0] ** 2), None), [w], RHO, member
        )
        w -= RATE * found.gradient[0]
    expected = RATE * a * RHO / (2 - RATE * a)
    np.testing.assert_allclose(abs(w.numpy()), [expected], rtol=1e-9)


ALL = {
    "sam": sam.sam.build(),
    "inf": sam.sam.build("inf"),
    "1": sam.sam.build("1"),
    "trust": sam.sam.build(layerwise="trust"),
    "unit": sam.sam.build(layerwise="unit"),
    "energy": sam.sam.energy(1.0),
    "random": sam.random.build(),
    "asam": sam.asam.build(KERNELS, eta=0),
    "gsam": sam.gsam.build(),
    "gsam, clean": sam.gsam.build(0.6, "clean"),
    "looksam": sam.looksam.build(),
    "esam": sam.esam.build(gamma=1),
    "wsam": sam.wsam.build(),
    "sam_on": sam.sam_on.build((Role.SCALE, Role.KERNEL)),
    "friendly": sam.friendly.build(),
    "vasso": sam.vasso.build(),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_zero_gradient_and_an_isotropic_loss_give_no_nan(name, dtype):
    def isotropic(weights):
        return sum(tf.reduce_sum(w**2) for w in weights), None

    member, key = ALL[name], tf.constant([1, 2], tf.int32)
    for value in (0.0, 1.0):
        weights = [tf.fill([3], tf.constant(value, dtype)) for _ in range(2)]
        memory = member.start(weights)
        for step in range(3):
            found = sam.gradient(isotropic, weights, 0.5, member.at(step), memory, key)
            memory = found.memory
            for tensor in (*found.gradient, *(found.correction or ())):
                assert np.isfinite(tensor).all()
            if value == 0 and name != "random":
                np.testing.assert_array_equal(found.gradient[0], np.zeros(3))


def test_what_is_parallel_leaves_looksam_nothing_to_keep():
    def isotropic(weights):
        return tf.reduce_sum(weights[0] ** 2), None

    member = sam.looksam.build(k=2, alpha=0.7)
    weights = [tf.constant(np.random.default_rng(0).normal(size=500), tf.float32)]
    found = sam.gradient(isotropic, weights, 0.5, member, member.start(weights))
    assert not np.any(found.memory["direction"][0])
    again = sam.gradient(isotropic, weights, 0.5, member.at(1), found.memory)
    np.testing.assert_array_equal(again.gradient[0], 2 * weights[0])


def test_a_new_part_grows_with_rho():
    norms = []
    for rho in (0.1, 0.2):
        weights = start()
        clean, there = flat([A @ flat(weights)[:, None]])[:, 0], None
        found = sam.gradient(loss_fn, weights, rho, sam.sam.build())
        there = flat(found.gradient)
        norms.append(np.linalg.norm(there - clean * (clean @ there) / (clean @ clean)))
    np.testing.assert_allclose(norms[0], 0.05)
    np.testing.assert_allclose(norms[1], 2 * norms[0])


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_metrics_of_a_member_are_known(name):
    assert set(ALL[name].metrics) <= set(sam.variant.METRICS)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (sam.esam.build(gamma=0.5), "loss of each example"),
        (sam.looksam.build(), r"begin with its start\(weights\)"),
        (sam.msam.build(), "the last update of each weight"),
    ],
)
def test_what_a_member_needs_is_asked_for(member, message):
    with pytest.raises(ValueError, match=message):
        sam.gradient(loss_fn, start(), RHO, member)


@pytest.mark.parametrize("norm", ["2", "inf", "1"])
def test_a_weight_without_elements_changes_nothing(norm):
    """Such as a layer's of no units."""
    member = sam.sam.build(norm)
    for place in (0, 1):
        weights = [*start()]
        weights.insert(place, tf.zeros([0], tf.float64))
        found = sam.gradient(loss_fn, weights, RHO, member)
        assert found.gradient[place].shape == (0,)
        expected = sam.gradient(loss_fn, start(), RHO, member)
        np.testing.assert_array_equal(flat(found.gradient), flat(expected.gradient))
