"""TensorFlow's moments under any name, differentiated twice against NumPy."""

import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from sam_pod.instruments import moments

SOURCE = """
import tensorflow as tf
from tensorflow.nn import moments as later
from tensorflow.compat.v1.nn import moments as first

def by_attribute(x): return tf.nn.moments(x, [0])
def by_first_attribute(x): return tf.compat.v1.nn.moments(x, [0], keep_dims=True)
def by_name(x): return later(x, axes=[0], keepdims=True)
def by_first_name(x): return first(x, [0], None, "named", keepdims=False)
"""


@pytest.fixture(scope="module")
def module():
    made = types.ModuleType("own_moments")
    exec(SOURCE, made.__dict__)
    sys.modules["own_moments"] = made
    yield made
    del sys.modules["own_moments"]


@pytest.mark.parametrize(
    "name", ["by_attribute", "by_first_attribute", "by_name", "by_first_name"]
)
def test_the_second_derivative_is_that_of_the_formula(module, name):
    x = np.random.default_rng(0).normal(size=5)
    before = dict(module.__dict__)

    def hessian(call):
        values = tf.constant(x)
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                mean, variance = call(values[:, None] ** 3)
                y = tf.reduce_sum(tf.exp(variance) * mean)
            slope = inner.gradient(y, values)
        return outer.jacobian(slope, values).numpy()

    def by_hand(values):
        mean = tf.reduce_mean(values, 0)
        return mean, tf.reduce_mean(values**2, 0) - mean**2

    expected = hessian(by_hand)
    with moments.differentiable_twice():
        found = hessian(getattr(module, name))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert dict(module.__dict__) == before  # Nothing stays replaced.
    wrong = hessian(getattr(module, name))
    assert np.abs(wrong - expected).max() > 1e-3  # Else ours would not be needed.
