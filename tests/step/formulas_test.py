"""Steps of each member are those of its formulas, in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.sam.roles import Role
from sam_pod.step import passes
from sam_pod.step import rho as rho_lib
from tests import fixtures, numpy_net
from tests.machines.groups_test import BATCH
from tests.sam import reference
from tests.step import members

eager = members.eager


def oracle(images, labels, step):
    """Return the loss of one batch, by hand."""
    images = images / 255
    shapes = [w.shape for w in members.net().initial_weights().values()]
    ends = np.cumsum([0, *(int(np.prod(s)) for s in shapes)])
    tensors = [slice(a, b) for a, b in itertools.pairwise(ends)]
    key = passes.random_key(members.SEED, 1, tf.constant(step, tf.int64))

    def parts(w):
        return [w[t].reshape(s) for t, s in zip(tensors, shapes, strict=True)]

    mask = members.drop_mask(key, (len(images), shapes[3][0])).numpy()

    def gradient(w, chosen=None):
        chosen = slice(None) if chosen is None else chosen
        found = numpy_net.loss_and_gradient(
            parts(w), images[chosen], labels[chosen], mask[chosen]
        )[1]
        return np.concatenate([g.ravel() for g in found])

    def losses(w):
        return numpy_net.losses(parts(w), images, labels, mask)

    def by_role(*chosen):
        return np.concatenate(
            [
                np.full(int(np.prod(s)), r in chosen)
                for s, r in zip(shapes, members.ROLES, strict=True)
            ]
        )

    return reference.Oracle(
        gradient,
        losses,
        by_role(Role.KERNEL, Role.SCALE),
        by_role(Role.SCALE, Role.OFFSET),
        tensors,
    )


# A member of each kind: both gradients, a period, a draw, a memory, roles of weights,
# parts of the batch, one pass.
FORMULAS = ("sam", "asam", "gsam", "looksam", "random", "friendly", "sam_on", "msam")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FORMULAS else pytest.mark.slow)
        for name in members.MEMBERS
    ],
)
def test_steps_are_those_of_the_formulas(name, pytestconfig):
    # More than LookSAM goes without an ascent, which is what takes most to tell.
    steps = 20 if pytestconfig.getoption("--slow") else 5
    member, options, variant, rho = members.MEMBERS[name]
    batches = fixtures.batches(steps, BATCH)
    oracles = [oracle(*batch, step) for step, batch in enumerate(batches)]
    masks = []
    for step in range(steps):
        key = passes.random_key(members.SEED, 3, tf.constant(step, tf.int64))
        drawn = tf.random.stateless_uniform([5], key, alg="philox")
        masks.append(drawn.numpy() < 0.6)
    start = [v.ravel() for v in members.net().initial_weights().values()]
    expected = reference.train(
        member,
        options,
        np.concatenate(start),
        oracles,
        rho=rho,
        rate=members.RATE,
        masks=masks,
    )
    found, *_ = members.train(variant, steps=steps, rho=rho_lib.constant(rho))
    weights = np.concatenate([w.ravel() for w in found[:5]])
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)
