"""The gradient that the optimizer takes has a largest norm."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.step import clipping, optimizers
from tests import fixtures

GRADIENT = [np.array([[3.0, 0.0]]), np.array([4.0])]  # Of norm 5.


@pytest.mark.parametrize(("largest", "scale"), [(0, 1), (6, 1), (5, 1), (2.5, 0.5)])
def test_a_long_gradient_keeps_its_direction(largest, scale):
    clip = clipping.Clip(largest)
    clipped = clip([tf.constant(g) for g in GRADIENT])
    for mine, g in zip(clipped, GRADIENT, strict=True):
        np.testing.assert_allclose(mine, scale * g)
    assert [float(n) for n in clip.norms] == ([5.0] if largest else [])


def test_a_gradient_of_zeros_stays():
    (clipped,) = clipping.Clip(5.0)([tf.zeros([3])])
    np.testing.assert_array_equal(clipped, np.zeros(3))


def test_the_step_clips_after_the_mean_and_reports_the_norm_before():
    recipe = fixtures.small_recipe(
        fixtures.small_model(), optimizer=optimizers.sgd(0.0, False)
    )
    one, batches = tf.distribute.get_strategy(), fixtures.batches(1, 8)
    before = list(recipe.network.initial_weights().values())
    _, rows = fixtures.train(one, recipe, batches)
    grad_norm = rows[0][5]
    small = dataclasses.replace(recipe, clip_norm=float(grad_norm) / 4)
    state, clipped_rows = fixtures.train(one, small, batches)
    np.testing.assert_array_equal(clipped_rows, rows)  # All metrics are of before.
    moved = [w.numpy() - b for w, b in zip(state.weights, before, strict=True)]
    length = np.sqrt(sum(np.sum(m.astype(np.float64) ** 2) for m in moved))
    np.testing.assert_allclose(length, 0.05 * grad_norm / 4, rtol=1e-5)
