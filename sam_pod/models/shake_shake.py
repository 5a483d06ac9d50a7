"""Shake-Shake of arXiv 1705.07485: 26 layers, two branches of 96 channels at first.

`shake_shake26_2x96d` has 26,192,922 parameters for ten classes, as in the SAM paper's
table 1 and in its code, whose kernels and last layer begin as its WideResNets' do. Each
image has a gate of its own ('Shake-Shake-Image'), and the gradient another.

What differs elsewhere: the networks' own code activates the images of a shortcut where
channels change; that of the SAM paper does not, and nor does this.
"""

import keras

from sam_pod.models import gates, residual
from sam_pod.models.residual import Layers, fan_out, paper_head


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    *,
    width: int = 96,
    blocks: int = 4,
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C); 32 x 32 x 3 in the paper.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
        width: The channels of a branch in the first group.
        blocks: Of each of the three groups.
    """
    layers = Layers(dtype_policy, fan_out())
    images = keras.Input(image_shape)
    x = layers.normalize(layers.convolution(images, 16, 3), relu=False)
    for group, _, stride in residual.blocks([blocks] * 3):
        x = _block(layers, x, width << group, stride)
    logits = layers.logits(layers.relu(x), num_classes, paper_head(num_classes))
    return keras.Model(images, logits, name=f"shake_shake_2x{width}d")


def _block(
    layers: Layers, x: keras.KerasTensor, filters: int, stride: int
) -> keras.KerasTensor:
    branches = []
    for _ in range(2):
        y = layers.convolution(layers.relu(x), filters, 3, stride)
        y = layers.convolution(layers.normalize(y), filters, 3)
        branches.append(layers.normalize(y, relu=False))
    mixed = gates.ShakeShake(dtype=layers.policy)(branches)
    return layers.add(_shortcut(layers, x, filters, stride), mixed)


def _shortcut(
    layers: Layers, x: keras.KerasTensor, filters: int, stride: int
) -> keras.KerasTensor:
    """Return x, or where channels change both of its halves, one of them shifted."""
    if x.shape[-1] == filters:
        return x
    policy = layers.policy
    shifted = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), dtype=policy)(x)
    shifted = keras.layers.Cropping2D(((1, 0), (1, 0)), dtype=policy)(shifted)
    halves = [
        layers.convolution(layers.pool(half, 1, stride), filters // 2, 1)
        for half in (x, shifted)
    ]
    both = keras.layers.Concatenate(dtype=policy)(halves)
    return layers.normalize(both, relu=False)
