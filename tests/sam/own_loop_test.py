"""SAM's gradients against closed forms and a float64 trajectory in NumPy."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from tests import numpy_net
from tests.sam.quadratics import quadratic, random_quadratic


@pytest.mark.parametrize("rho", [0.01, 0.5, 3.0])
def test_gradient_of_a_quadratic_is_the_closed_form(rho):
    a, w = random_quadratic()
    weights = [tf.constant(w[:3].reshape(3, 1)), tf.constant(w[3:])]
    result = sam.gradient(quadratic(tf.constant(a)), weights, rho)
    ascended = w + rho * a @ w / np.linalg.norm(a @ w)
    flat = np.concatenate([g.numpy().ravel() for g in result.gradient])
    np.testing.assert_allclose(flat, a @ ascended, rtol=1e-12)
    np.testing.assert_allclose(result.loss, 0.5 * w @ a @ w, rtol=1e-12)
    np.testing.assert_allclose(
        result.perturbed_loss, 0.5 * ascended @ a @ ascended, rtol=1e-12
    )
    np.testing.assert_allclose(result.ascent_norm, np.linalg.norm(a @ w), rtol=1e-12)
    assert result.aux == result.perturbed_aux == "aux"
    assert [g.shape for g in result.gradient] == [(3, 1), (4,)]


def test_second_gradient_differs_from_the_first():
    a, w = random_quadratic(1)
    loss_fn = quadratic(tf.constant(a))
    _, clean, _ = sam.batch_gradient(loss_fn, [tf.constant(w)])
    result = sam.gradient(loss_fn, [tf.constant(w)], 0.05)
    assert np.abs(result.gradient[0] - clean[0]).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zero_gradient_gives_no_nan(dtype):
    weights = [tf.zeros([5], dtype)]
    result = sam.gradient(quadratic(tf.eye(5, dtype=dtype)), weights, 0.05)
    np.testing.assert_array_equal(result.gradient[0], np.zeros(5))
    assert np.isfinite(result.perturbed_loss)


def test_perturbation_has_length_rho():
    gradient = [tf.constant([3.0, 4.0]), tf.constant([[12.0]])]
    e = sam.perturbation(gradient, 0.1)
    np.testing.assert_allclose(np.sqrt(sam.squared_norm(e)), 0.1, rtol=1e-6)
    np.testing.assert_allclose(e[0], np.array([3.0, 4.0]) * 0.1 / 13, rtol=1e-6)


def test_rho_zero_is_the_plain_gradient_in_one_pass():
    calls = []

    def loss_fn(weights):
        calls.append(1)
        return tf.reduce_sum(weights[0] ** 3), None

    result = sam.gradient(loss_fn, [tf.constant([1.0, 2.0])], 0)
    np.testing.assert_array_equal(result.gradient[0], [3.0, 12.0])
    assert len(calls) == 1


def test_variables_are_not_written():
    a, w = random_quadratic(2)
    variable = tf.Variable(w)
    sam.gradient(quadratic(tf.constant(a)), [variable], 1.0)
    np.testing.assert_array_equal(variable.numpy(), w)


def test_a_weight_that_the_loss_does_not_use_has_a_gradient_of_zeros():
    result = sam.gradient(
        lambda w: (tf.reduce_sum(w[0] ** 2), None),
        [tf.constant([1.0]), tf.constant([2.0])],
        0.1,
    )
    np.testing.assert_array_equal(result.gradient[1], [0.0])


def test_a_loss_that_depends_on_no_weight_is_refused():
    """As of a Keras model that is called, where loss_fn's argument is the weights."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    images = tf.ones([8, 4])

    def called(weights):
        return tf.reduce_sum(model(images) ** 2), None

    def stateless(weights):
        logits, _ = model.stateless_call(weights, [], images)
        return tf.reduce_sum(logits**2), None

    with pytest.raises(
        ValueError, match=r"does not depend on .* model\.stateless_call"
    ):
        sam.gradient(called, model.trainable_variables)
    found = sam.gradient(stateless, model.trainable_variables)
    assert np.abs(found.gradient[0]).max() > 0


def test_a_loss_of_each_example_is_refused():
    def each(weights):
        return tf.stack([tf.reduce_sum(weights[0] ** 2)] * 4), None

    with pytest.raises(ValueError, match=r"shape \(4,\).*tf\.reduce_mean"):
        sam.gradient(each, [tf.ones([3])])


def test_rho_may_be_a_tensor_of_a_compiled_loop():
    a, w = random_quadratic()
    loss_fn, weights = quadratic(tf.constant(a)), [tf.constant(w)]

    @tf.function
    def gradient(rho):
        return sam.gradient(loss_fn, weights, rho).gradient

    for rho in (0.0, 0.3):
        exact = sam.gradient(loss_fn, weights, rho).gradient
        traced = gradient(tf.constant(rho, tf.float64))
        np.testing.assert_allclose(traced[0], exact[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: sam.sam.build(norm=2), r"norm is 2; .*one of \['2', 'inf', '1'\]"),
        (lambda: sam.sam.build(layerwise="layer"), "layerwise is 'layer'"),
        (lambda: sam.asam.build([], norm="1"), r"norm is '1'; .*\['2', 'inf'\]"),
        (lambda: sam.asam.build([], eta=-1.0), "eta is -1.0; it must be at least 0"),
        (lambda: sam.sam_on.build([], eta=-1.0), "eta is -1.0"),
        (lambda: sam.gsam.build(alpha=-0.1), "alpha is -0.1"),
        (lambda: sam.gsam.build(minimizes="both"), "minimizes is 'both'"),
        (lambda: sam.looksam.build(k=0), "k is 0; it must be at least 1"),
        (lambda: sam.looksam.build(k=1.5), "k is 1.5; it must be a whole number"),
        (lambda: sam.looksam.build(alpha=float("nan")), "alpha is nan"),
        (lambda: sam.esam.build(beta=0.0), r"beta is 0.0; it must be in \(0, 1\]"),
        (lambda: sam.esam.build(gamma=0), r"gamma is 0; it must be in \(0, 1\]"),
        (lambda: sam.wsam.build(gamma=1), r"gamma is 1; it must be in \[0, 1\)"),
        (lambda: sam.friendly.build(decay=1.0), r"decay is 1.0; .* \[0, 1\)"),
        (lambda: sam.vasso.build(theta=2), r"theta is 2; it must be in \(0, 1\]"),
    ],
)
def test_a_value_that_no_member_can_have_is_refused(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def square(weights):
    return tf.add_n([tf.cast(tf.reduce_sum(w**2), tf.float32) for w in weights]), None


def at_in_a_function():
    member = sam.looksam.build(k=2)
    tf.function(lambda step: member.at(step).name)(tf.constant(1))


def at_with_a_traced_memory():
    member = sam.looksam.build(k=2)
    memory = {k: list(map(tf.constant, v)) for k, v in member.start([ONE]).items()}
    tf.function(lambda memory: member.at(1, memory).name)(memory)


ONE = tf.ones(2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: sam.gradient(square, [ONE], -0.1),
            r"rho is -0\.1; it must be at least",
        ),
        (lambda: sam.gradient(square, [ONE], float("nan")), "rho is nan"),
        (
            lambda: sam.gradient(square, [ONE, tf.ones(2, tf.float64)]),
            "types float32 and float64, .*: keep them all in one",
        ),
        (
            lambda: sam.gradient(square, [ONE], 0.1, sam.asam.build(["kernel"] * 2)),
            r"built for 2 weights, and is given 1: .*roles\.of",
        ),
        (at_in_a_function, r"looksam is asked within a tf\.function"),
        (at_with_a_traced_memory, r"looksam is asked within a tf\.function"),
    ],
)
def test_what_a_loop_cannot_give_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_memory_of_another_member_is_refused():
    memory = sam.looksam.build().start([tf.ones(2)])
    with pytest.raises(ValueError, match="friendly needs a memory of its own"):
        sam.gradient(
            lambda w: (tf.reduce_sum(w[0] ** 2), None),
            *([tf.ones(2)], 0.1, sam.friendly.build(), memory),
        )


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (sam.sam.build(), "sam"),
        (sam.looksam.build(k=1), "looksam"),
        (sam.looksam.build(k=2), "looksam"),
        (sam.msam.build(), "msam"),
    ],
)
def test_a_loop_may_begin_anywhere_with_any_member(member, expected):
    """What is not remembered yet is refreshed, where a member remembers at all."""
    weights = [tf.Variable([1.0, 2.0])]
    assert member.at(3, member.start(weights)).name == expected


def test_trajectory_of_a_convolutional_net_equals_numpy_in_float64():
    """20 SAM steps with BatchNorm and momentum, no shared code with the reference."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, 8, 6, 6, 3))
    labels = rng.integers(0, 5, (20, 8))
    initial = numpy_net.initial_weights(rng)
    rate, momentum, rho = 0.05, 0.9, 0.1

    weights = [tf.Variable(w, dtype=tf.float64) for w in initial]
    velocity = [tf.zeros_like(w) for w in weights]
    reference = [w.copy() for w in initial]
    reference_velocity = [np.zeros_like(w) for w in initial]
    for x, y in zip(images, labels, strict=True):
        result = sam.gradient(tensor_net(tf.constant(x), tf.constant(y)), weights, rho)
        velocity = [
            momentum * v - rate * g
            for v, g in zip(velocity, result.gradient, strict=True)
        ]
        for w, v in zip(weights, velocity, strict=True):
            w.assign_add(v)

        loss, gradient = numpy_net.loss_and_gradient(reference, x, y)
        norm = np.sqrt(sum((g**2).sum() for g in gradient))
        ascended = [
            w + rho * g / norm for w, g in zip(reference, gradient, strict=True)
        ]
        _, gradient = numpy_net.loss_and_gradient(ascended, x, y)
        for w, v, g in zip(reference, reference_velocity, gradient, strict=True):
            v *= momentum
            v -= rate * g
            w += v
        np.testing.assert_allclose(result.loss, loss, rtol=1e-9)
    moved = max(np.abs(a - b).max() for a, b in zip(reference, initial, strict=True))
    assert moved > 0.1
    for ours, theirs in zip(weights, reference, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-9)


def tensor_net(x, y):
    """The net of numpy_net, in TensorFlow operations."""

    def loss_fn(weights):
        kernel, gamma, beta, dense, bias = weights
        h = tf.nn.conv2d(x, kernel, 1, "VALID")
        mean, variance = tf.nn.moments(h, [0, 1, 2])
        h = (h - mean) * tf.math.rsqrt(variance + numpy_net.EPSILON) * gamma + beta
        h = tf.reduce_mean(tf.nn.relu(h), [1, 2])
        logits = h @ dense + bias
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        return tf.reduce_mean(loss), None

    return loss_fn


def test_imports_alone():
    code = (
        "import sys; from sam_pod import sam; "
        "print([m for m in sys.modules if m.startswith('sam_pod.') and "
        "not m.startswith('sam_pod.sam')], "
        "'absl.flags' in sys.modules and 'config' in __import__('absl.flags')"
        ".flags.FLAGS)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("[] False")
