"""The worst case on quadratics, against the closed form: the secular equation."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from sam_pod import errors
from sam_pod.instruments import balls, worst_case

KEY = tf.constant([0, 0])


def quadratic(seed, size=6, curvature=1.0):
    """Return (A, b) of f(d) = b'd + d'Ad / 2, A indefinite."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(size, size))
    return curvature * (a + a.T) / 2, rng.normal(size=size)


def largest_in_a_ball(a, b, rho):
    """Return max f over ||d|| <= rho: (mu I - A) d = b, ||d|| = rho, mu > lambda."""
    values, vectors = np.linalg.eigh(a)
    shares = vectors.T @ b
    top = max(values[-1], 0)

    def excess(mu):
        return np.linalg.norm(shares / (mu - values)) - rho

    mu = scipy.optimize.brentq(excess, top + 1e-12, top + np.linalg.norm(b) / rho + 1)
    d = vectors @ (shares / (mu - values))
    return b @ d + d @ a @ d / 2


def found(a, b, w, ball, *, restarts=3, steps=40):
    """Return the rises of a loss whose w is in two tensors, in float64."""
    a, b = tf.constant(a), tf.constant(b)
    weights = [tf.constant(w[:2]), tf.constant(w[2:].reshape(2, -1))]

    def loss_fn(moved):
        d = tf.concat([tf.reshape(x, [-1]) for x in moved], 0) - w
        return tf.tensordot(b, d, 1) + tf.tensordot(d, tf.linalg.matvec(a, d), 1) / 2

    @tf.function(autograph=False)
    def run():
        return worst_case.worst(
            loss_fn, weights, ball, restarts=restarts, steps=steps, key=KEY
        )

    return [float(x) for x in run()]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("curvature", [0.1, 1.0, 5.0])
def test_the_worst_in_a_ball_is_that_of_the_secular_equation(seed, curvature):
    a, b = quadratic(seed, curvature=curvature)
    w = np.random.default_rng(seed + 9).normal(size=6)
    base, single, worst = found(a, b, w, balls.Ball(False, False, 0.5))
    expected = largest_in_a_ball(a, b, 0.5)
    assert base == 0
    assert worst == pytest.approx(expected, rel=5e-3)
    assert worst <= expected + 1e-9
    e = 0.5 * b / np.linalg.norm(b)
    assert single == pytest.approx(b @ e + e @ a @ e / 2)


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_in_an_adaptive_ball_is_that_of_the_scaled_quadratic(seed):
    a, b = quadratic(seed)
    w = np.random.default_rng(seed + 9).normal(size=6)
    w[seed] = 0  # Which stays.
    _, _, worst = found(a, b, w, balls.Ball(False, True, 0.7))
    t = np.abs(w)
    assert worst == pytest.approx(
        largest_in_a_ball(t[:, None] * a * t, t * b, 0.7), rel=1e-3
    )


@pytest.mark.parametrize("is_adaptive", [False, True])
def test_the_worst_in_a_cube_is_at_a_corner_of_a_convex_loss(is_adaptive):
    a, b = quadratic(0)
    a = a @ a
    w = np.random.default_rng(9).normal(size=6)
    _, _, worst = found(a, b, w, balls.Ball(True, is_adaptive, 0.3), restarts=8)
    t = np.abs(w) if is_adaptive else np.ones(6)
    corners = 0.3 * t * (2 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1)
    rises = corners @ b + np.einsum("ni,ij,nj->n", corners, a, corners) / 2
    assert worst == pytest.approx(rises.max(), rel=1e-6)


@pytest.mark.parametrize("is_inf", [False, True])
def test_the_worst_is_below_neither_the_single_step_nor_the_weights(is_inf):
    """At the top of a hill every step descends, and the worst is where it stands."""
    a, b = -np.eye(6) * 4, np.zeros(6)
    ball = balls.Ball(is_inf, False, 0.5)
    assert found(a, b, np.ones(6), ball)[2] == 0
    a, b = quadratic(1)
    for steps in (1, 2, 7):
        base, single, worst = found(a, b, np.ones(6), ball, restarts=0, steps=steps)
        assert worst >= max(base, single)
        assert steps > 1 or worst == max(base, single)


def test_a_loss_that_is_not_a_number_is_not_the_worst():
    result = worst_case.worst(
        lambda w: tf.where(w[0][0] > 1.01, float("nan"), w[0][0]),
        [tf.constant([1.0])],
        balls.Ball(False, False, 0.5),
        restarts=0,
        steps=3,
        key=KEY,
    )
    assert float(result.worst) == 1.0


def test_random_points_are_on_the_sphere_or_in_the_cube():
    weights = [tf.zeros([40]), tf.zeros([30, 2])]
    points = balls.Ball(False, False, 0.3).draw(weights, KEY)
    squares = sum(float(tf.reduce_sum(p**2)) for p in points)
    assert squares == pytest.approx(0.09, rel=1e-5)
    cube = np.concatenate(
        [p.numpy().ravel() for p in balls.Ball(True, False, 0.3).draw(weights, KEY)]
    )
    assert np.abs(cube).max() <= 0.3
    # Uniform: a deviation of 0.3 / sqrt(3).
    assert cube.std() == pytest.approx(0.3 / 3**0.5, rel=0.15)


def test_the_average_of_a_quadratic_on_the_sphere_is_that_of_its_trace():
    """E u'Au / 2 = rho^2 tr A / (2 n), whatever the linear part."""
    a, _ = quadratic(3)
    a = a @ a

    @tf.function(autograph=False)
    def mean():
        return worst_case.average(
            lambda w: tf.tensordot(w[0], tf.linalg.matvec(a, w[0]), 1) / 2,
            [tf.zeros([6], tf.float64)],
            balls.Ball(False, False, 0.5),
            draws=1000,
            key=KEY,
        )

    assert float(mean()) == pytest.approx(0.25 * np.trace(a) / 12, rel=0.1)


@pytest.mark.parametrize(
    "text",
    ["", "2", "3:0.1", "2:0", "2:-1", "2:nan", "inf:inf", "adaptive:2:1", "2:1e"],
)
def test_what_is_no_ball_is_refused(text):
    with pytest.raises(errors.UserError, match="is no ball") as caught:
        balls.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["2:0.05", "inf:0.0001", "adaptive-inf:0.002"])
def test_a_ball_has_the_name_that_it_is_given_by(text):
    assert balls.parse(text).name == text
