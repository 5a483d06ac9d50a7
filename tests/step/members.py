"""Each member, and its compiled steps of a small net in float64."""

import functools

import pytest
import tensorflow as tf

from sam_pod import sam
from sam_pod.models import network
from sam_pod.sam.roles import Role
from sam_pod.step import optimizers
from tests import fixtures
from tests.machines.groups_test import BATCH, Float64

RATE, MOMENTUM, SEED = 0.1, 0.9, 0
ROLES = (Role.KERNEL, Role.SCALE, Role.OFFSET, Role.KERNEL, Role.BIAS)


class Net(Float64):
    """The float64 net, with dropout of what is pooled by a mask from the key."""

    def apply(self, weights, stats, images, *, key=None, **more):
        kernel, *norm, dense, bias = weights
        x = tf.nn.conv2d(tf.cast(images, tf.float64), kernel, 1, "VALID")
        if norm:
            x, stats = self.normalize(x, *norm, stats, key is not None)
        x = tf.reduce_mean(tf.nn.relu(x), [1, 2])
        if key is not None:
            x *= drop_mask(key, x.shape, more["rows"])
        return network.Outputs(x @ dense + bias, stats, tf.zeros([], tf.float64))


def drop_mask(key, shape, rows=None):
    """Return the mask of rows of a global batch; of its first ones if None."""
    drawn = tf.random.stateless_uniform([BATCH, shape[1]], key, alg="philox")
    if rows is None:
        drawn = drawn[: shape[0]]
    else:
        chosen = tf.range(rows.count) if rows.chosen is None else rows.chosen
        drawn = tf.gather(drawn, tf.cast(rows.first, tf.int32) + chosen)
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


@pytest.fixture(autouse=True)
def eager():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


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
