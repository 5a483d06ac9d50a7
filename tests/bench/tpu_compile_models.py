"""The larger networks of tpu_compile.py in Flax, as their users write them.

An environment of its own has Flax; nothing of this project is imported. ResNet-50 is
that of Flax's ImageNet example, WRN-28-10 the SAM paper's (shortcuts without weights),
ViT-S/16 that of big_vision with the mean of all tokens. Parameters are float32.
"""

import functools
from typing import Any

from flax import linen as nn
from jax import numpy as jnp


def _convolution(dtype, **words):
    return functools.partial(nn.Conv, use_bias=False, dtype=dtype, **words)


def _norm(dtype, **words):
    return functools.partial(
        nn.BatchNorm,
        use_running_average=False,
        momentum=0.9,
        epsilon=1e-5,
        dtype=dtype,
        **words,
    )


class ResNet50(nn.Module):
    """Version 1.5: a block strides in its 3 x 3."""

    dtype: Any
    num_classes: int

    @nn.compact
    def __call__(self, x):
        convolution, norm = _convolution(self.dtype), _norm(self.dtype)
        x = convolution(64, (7, 7), 2, padding=[(3, 3), (3, 3)])(x)
        x = nn.max_pool(nn.relu(norm()(x)), (3, 3), strides=(2, 2), padding="SAME")
        for group, count in enumerate((3, 4, 6, 3)):
            for block in range(count):
                stride = 2 if group and not block else 1
                x = self._block(x, 64 << group, stride, convolution, norm)
        x = jnp.mean(x, axis=(1, 2))
        return nn.Dense(self.num_classes)(x.astype(jnp.float32))

    def _block(self, x, filters, stride, convolution, norm):
        y = nn.relu(norm()(convolution(filters, (1, 1))(x)))
        y = nn.relu(norm()(convolution(filters, (3, 3), stride)(y)))
        y = convolution(4 * filters, (1, 1))(y)
        y = norm(scale_init=nn.initializers.zeros_init())(y)
        if x.shape != y.shape:
            x = norm()(convolution(4 * filters, (1, 1), stride)(x))
        return nn.relu(x + y)


class WideResNet28x10(nn.Module):
    """Where channels change, a shortcut is a mean over 2 x 2, and zeros behind."""

    dtype: Any
    num_classes: int

    @nn.compact
    def __call__(self, x):
        convolution, norm = _convolution(self.dtype), _norm(self.dtype)
        x = convolution(16, (3, 3))(x)
        for group in range(3):
            for block in range(4):
                stride = 2 if group and not block else 1
                parts_late = not group and not block
                filters = 160 << group
                y = nn.relu(norm()(x))
                x = y if parts_late else x
                y = convolution(filters, (3, 3), stride)(y)
                y = convolution(filters, (3, 3))(nn.relu(norm()(y)))
                if stride > 1:
                    x = nn.avg_pool(x, (2, 2), strides=(2, 2))
                more = filters - x.shape[-1]
                x = y + jnp.pad(x, [(0, 0), (0, 0), (0, 0), (0, more)])
        x = jnp.mean(nn.relu(norm()(x)), axis=(1, 2))
        return nn.Dense(self.num_classes)(x.astype(jnp.float32))


class ViTS16(nn.Module):
    """Twelve blocks of pre-normalized attention and an MLP."""

    dtype: Any
    num_classes: int

    @nn.compact
    def __call__(self, x):
        width, heads = 384, 6
        dense = functools.partial(nn.Dense, dtype=self.dtype)
        norm = functools.partial(nn.LayerNorm, epsilon=1e-6, dtype=self.dtype)
        x = nn.Conv(width, (16, 16), 16, padding="VALID", dtype=self.dtype)(x)
        x = x.reshape(x.shape[0], -1, width)
        place = self.param(
            "positions", nn.initializers.normal(width**-0.5), (1, x.shape[1], width)
        )
        x = x + place.astype(self.dtype)
        for _ in range(12):
            y = norm()(x)
            x = x + nn.MultiHeadDotProductAttention(heads, dtype=self.dtype)(y, y)
            y = nn.gelu(dense(4 * width)(norm()(x)))
            x = x + dense(width)(y)
        x = jnp.mean(norm()(x), axis=1)
        return nn.Dense(self.num_classes)(x.astype(jnp.float32))


MODELS = {"resnet50": ResNet50, "wrn28_10": WideResNet28x10, "vit_s16": ViTS16}
