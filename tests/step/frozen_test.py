"""A step with frozen layers, and with a learning rate of the head's own."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.config import keys
from sam_pod.models import batch_norm, freezing, network
from sam_pod.step import averaging, optimizers, rate_factors
from tests import fixtures

RATE = 0.05
SAM = sam.sam.build()


def small(*, freeze=True):
    keras.utils.set_random_seed(3)
    images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, name="first")(images)
    x = batch_norm.FusedBatchNormalization()(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    built = keras.Model(images, keras.layers.Dense(5, name="last")(x))
    if freeze:
        freezing.freeze(built, "first", batch_norm=True)
    return network.Network(built)


@functools.cache
def trained(count=1, member=SAM, **more):
    """Return (weights by name, statistics in order, rows) after three steps."""
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    net = small()
    recipe = fixtures.small_recipe(
        net, variant=member, weight_decay=0.1, decays_all=True, **more
    )
    state, rows = fixtures.train(
        fixtures.mirrored(count) if count > 1 else one,
        recipe,
        fixtures.batches(3, 8),
    )
    weights = dict(zip(net.initial_weights(), state.weights, strict=True))
    weights = {name: v.numpy() for name, v in weights.items()}
    return weights, [v.numpy() for v in state.stats], rows


MEMBERS = [
    SAM,
    pytest.param(sam.asam.build(small().roles()), marks=pytest.mark.slow),
    pytest.param(sam.gsam.build(0.4), marks=pytest.mark.slow),
    pytest.param(sam.wsam.build(0.9), marks=pytest.mark.slow),
    pytest.param(sam.looksam.build(2, 0.7), marks=pytest.mark.slow),
    pytest.param(sam.esam.build(0.6, 0.5), marks=pytest.mark.slow),
    pytest.param(sam.friendly.build(1.0, 0.9), marks=pytest.mark.slow),
    pytest.param(sam.vasso.build(0.4), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: m.name)
def test_frozen_variables_stay_bit_equal_and_the_others_train(member):
    weights, stats, rows = trained(member=member)
    net = small()
    assert weights.keys() == {
        *("second/kernel", "second/bias", "last/kernel", "last/bias")
    }
    assert len(stats) == 6
    for kept, value in zip(stats, net.initial_stats().values(), strict=True):
        np.testing.assert_array_equal(kept, value)
    for name, value in net.initial_weights().items():
        assert np.abs(weights[name] - value).max() > 0
    assert np.isfinite(rows[:, :4]).all()


def test_the_norm_of_the_ascent_is_that_of_what_trains():
    (images, labels), *_ = fixtures.batches(3, 8)
    model = small().model
    x = tf.constant(images, tf.float32) / 255
    with tf.GradientTape() as tape:
        logits = model(x, training=False)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        variables = [v.value for v in model.trainable_variables]
        penalty = 0.05 * tf.add_n([tf.reduce_sum(v**2) for v in variables])
        loss = tf.reduce_mean(each) + penalty
    gradient = tape.gradient(loss, variables)
    expected = np.sqrt(sum(np.sum(np.float64(g) ** 2) for g in gradient))
    assert trained()[2][0][4] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        {"count": 2},
        pytest.param({"accumulate_steps": 2}, marks=pytest.mark.slow),
        pytest.param({"count": 2, "accumulate_steps": 2}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_replicas_and_chunks_equal_one(other):
    """Without BatchNorm's batch there is nothing that a part of it does not know."""
    weights, stats, _ = trained()
    others, same, _ = trained(**other)
    for name, value in weights.items():
        np.testing.assert_allclose(others[name], value, atol=2e-6)
    for value, kept in zip(stats, same, strict=True):
        np.testing.assert_array_equal(kept, value)


def test_the_average_of_frozen_variables_is_bit_equal():
    net = small()
    average = averaging.Average(0.9)
    stats = list(net.initial_stats().values())
    kept = {averaging.WEIGHTS: [], averaging.STATS: stats}
    for step in range(3):
        kept = average.after(kept, [], stats, tf.constant(step))
    for value, old in zip(kept[averaging.STATS], stats, strict=True):
        np.testing.assert_array_equal(value, old)


OPTIMIZERS = {
    "sgd": {"momentum": 0.9},
    "sgd outside": {"rate_in_velocity": False, "nesterov": False},
    "sgd decoupled": {"decays_in": "decoupled"},
    "sgd gradient": {"decays_in": "gradient"},
    "adamw": {},
    "rmsprop": {"epsilon": 1e-3},
    "lars": {},
    "lamb": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_factor_is_another_learning_rate_of_these_weights(name):
    """Each weight moves as in an optimizer of its own, whose rate it is."""
    config = keys.defaults()
    config.optimizer.update({"weight_decay": 0.1, **OPTIMIZERS[name]})
    config.optimizer.name = name.partition(" ")[0]
    make = functools.partial(optimizers.build, config)
    rng = np.random.default_rng(0)
    weights = [tf.constant(rng.normal(size=(3, 2)), tf.float32) for _ in range(4)]
    factors, kernels = (1.0, 10.0, 1.0, 10.0), (True, True, False, False)
    both = rate_factors.with_factors(make, kernels, factors)
    slots = {n: [tf.zeros([3, 2])] * 4 for n in both.slot_names}
    apart = [(w, {n: [tf.zeros([3, 2])] for n in both.slot_names}) for w in weights]
    new = weights
    for step in range(3):
        gradient = [tf.constant(rng.normal(size=(3, 2)), tf.float32) for _ in range(4)]
        rate = tf.constant(RATE / (1 + step))
        new, slots = both.update(gradient, slots, new, tf.constant(step), rate)
        for i, (w, own) in enumerate(apart):
            [w], own = make((kernels[i],)).update(
                [gradient[i]], own, [w], tf.constant(step), factors[i] * rate
            )
            np.testing.assert_allclose(new[i], w, atol=1e-6)
            apart[i] = w, own


def test_a_heading_is_the_last_update_at_the_rates_of_the_weights():
    for rate_in_velocity in (True, False):
        plain = optimizers.sgd(0.5, False, rate_in_velocity=rate_in_velocity)
        both = rate_factors.with_factors(lambda kernels, p=plain: p, (), (1.0, 10.0))
        weights = [tf.ones([2]), tf.ones([2])]
        slots = {"velocity": [tf.zeros([2]), tf.zeros([2])]}
        gradient = [tf.constant([1.0, -2.0])] * 2
        new, slots = both.update(gradient, slots, weights, 0, tf.constant(RATE))
        moved = [a - b for a, b in zip(new, weights, strict=True)]
        heading = both.heading(slots)
        ratio = moved[0] / heading[0]
        np.testing.assert_allclose(moved[1], ratio * heading[1], rtol=1e-5)
