"""Layers of networks in NumPy, float64, with the weights of a Keras model.

`Weights` gives the weights of each kind of layer in the order in which the layers were
made, so a reference calls for them in the order in which a network is described.
"""

import contextlib
import re
from unittest import mock

import keras
import numpy as np

from sam_pod.models import positions

CONVOLUTION = keras.layers.Conv2D


@contextlib.contextmanager
def shapes_alone():
    """Let variables that are made have shapes, and no values: those take seconds."""
    register = "keras.src.backend.common.variables.register_uninitialized_variable"
    # Else the next call of any model gives all of them their values.
    with keras.StatelessScope(initialize_variables=False), mock.patch(register):
        yield


def filled(model, seed=0):
    """Give a model's variables values that no layer begins with; return it."""
    chance = np.random.default_rng(seed)
    for variable in model.variables:
        shape = variable.shape
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(chance.uniform(0.5, 1.5, shape))
        elif len(shape) > 1:
            fan_in = max(np.prod(shape[:-1]), 1)
            variable.assign(chance.normal(size=shape) * (2 / fan_in) ** 0.5)
        elif variable.name in ("beta", "bias", "moving_mean"):
            variable.assign(chance.normal(size=shape) * 0.1)
    return model


def _number(layer):
    return int((re.search(r"_(\d+)$", layer.name) or [0, 0])[1])


class Weights:
    """The layers of a model, by kind."""

    def __init__(self, model):
        layers = sorted(model._flatten_layers(include_self=False), key=_number)
        self._kinds = {
            kind: iter([x for x in layers if isinstance(x, kind)])
            for kind in (
                positions.Positions,
                keras.layers.Conv2D,
                keras.layers.BatchNormalization,
                keras.layers.Dense,
                keras.layers.LayerNormalization,
                keras.layers.MultiHeadAttention,
            )
        }

    def next(self, kind):
        """Return the weights of the next layer of a kind, float64."""
        return [np.float64(w) for w in next(self._kinds[kind]).get_weights()]

    def conv(self, x, stride=1):
        """Convolve, padded as TensorFlow's 'SAME' does."""
        kernel, *bias = self.next(keras.layers.Conv2D)
        return conv(x, kernel, stride) + (bias[0] if bias else 0.0)

    def norm(self, x, epsilon=1e-5):
        """Normalize by moving statistics."""
        gamma, beta, mean, variance = self.next(keras.layers.BatchNormalization)
        return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta

    def dense(self, x):
        """Multiply, and add a bias."""
        kernel, bias = self.next(keras.layers.Dense)
        return x @ kernel + bias

    def layer_norm(self, x, epsilon=1e-6):
        """Normalize each token."""
        gamma, beta = self.next(keras.layers.LayerNormalization)
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta

    def attention(self, x):
        """Let tokens `[B, T, W]` attend to each other."""
        q, bq, k, bk, v, bv, out, b = self.next(keras.layers.MultiHeadAttention)
        q, k, v = (
            np.einsum("btw,whd->bhtd", x, kernel) + bias[:, None]
            for kernel, bias in ((q, bq), (k, bk), (v, bv))
        )
        scores = np.exp(q @ k.transpose(0, 1, 3, 2) / q.shape[-1] ** 0.5)
        mixed = scores / scores.sum(-1, keepdims=True) @ v
        return np.einsum("bhtd,hdw->btw", mixed, out) + b

    def head(self, x):
        """Return the logits of mean activations."""
        return self.dense(x.mean((1, 2)))


def conv(x, kernel, stride=1, same=True):
    size, _, _, filters = kernel.shape
    if same:
        pads = [_same(n, size, stride) for n in x.shape[1:3]]
        x = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    flat = windows.reshape(*windows.shape[:3], -1)
    return flat @ kernel.reshape(-1, filters)


def largest(x):
    """Return the maxima of windows of 3 x 3 with a stride of 2, 'SAME'."""
    pads = [_same(n, 3, 2) for n in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return windows[:, ::2, ::2].max((-2, -1))


def _same(length, size, stride):
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def relu(x):
    return np.maximum(x, 0)


def halved(x):
    """Return the means of squares of 2 x 2."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def padded(x, channels):
    """Return x with channels of zeros behind."""
    return np.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))


def images(shape=(8, 8, 3), count=3, seed=1):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def assert_alike(model, reference, x=None):
    """Compare a model's inference with `reference(weights, x)`."""
    x = images(model.input_shape[1:]) if x is None else x
    found = np.asarray(model(x, training=False))
    expected = reference(Weights(model), np.float64(x))
    scale = np.abs(expected).max()
    assert scale > 0.01
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-5)
