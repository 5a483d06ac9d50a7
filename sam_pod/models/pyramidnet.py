"""PyramidNets of arXiv 1610.02915, with and without ShakeDrop (arXiv 1802.02375).

Parameters for ten classes, by `widths`:

                   'round'      'truncate'
    pyramidnet272  26,210,842   26,046,428
    pyramidnet110  28,485,477   likewise

`pyramidnet272` widens by 200 channels over 90 bottlenecks, as in the SAM paper's table
1. Widths are rounded, as in its code and that of AutoAugment; 'truncate' is the
PyramidNets' paper. It has ShakeDrop unless `shake_drop` is 'off': the SAM paper's rows
without it cannot be run from its code. A block l of L is kept with the probability
1 - l / 2 L. `pyramidnet110` widens by 270 over 54 basic blocks of two 3 x 3, as in the
tables of ESAM and F-SAM, and has no ShakeDrop unless `shake_drop` is 'on'; it is not
the SAM paper's.

What differs elsewhere: the SAM paper's released program draws ShakeDrop's coin again in
the second pass, from a generator with a state; here both passes have the same, which is
what its code says.
"""

import keras

from sam_pod.models import gates
from sam_pod.models.residual import Layers, fan_out, paper_head


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    *,
    depth: int,
    alpha: int,
    has_bottlenecks: bool,
    widths: str = "round",
    shake_drop: str = "auto",
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C); 32 x 32 x 3 in the papers.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
        depth: The number of layers, 9 n + 2 with bottlenecks, else 6 n + 2.
        alpha: By how many channels it widens, from 16.
        has_bottlenecks: Whether blocks are of 1 x 1, 3 x 3 and 1 x 1.
        widths: 'round' or 'truncate'.
        shake_drop: 'on', 'off' or 'auto', which is 'on' with bottlenecks.
    """
    is_shaken = shake_drop == "on" or (shake_drop == "auto" and has_bottlenecks)
    layers = Layers(dtype_policy, fan_out())
    block = _bottleneck if has_bottlenecks else _basic
    in_group = (depth - 2) // (9 if has_bottlenecks else 6)
    images = keras.Input(image_shape)
    x = layers.normalize(layers.convolution(images, 16, 3), relu=False)
    width, blocks = 16.0, 3 * in_group
    for group in range(3):
        # A model in the model: Keras follows a graph by recursion, and the layers of
        # all groups in a row are more than Python lets it.
        inputs = y = keras.Input(x.shape[1:], dtype=layers.compute_dtype)
        for number in range(group * in_group, (group + 1) * in_group):
            width += alpha / blocks
            stride = 2 if group and number == group * in_group else 1
            # Python's rounding, of halves to even numbers, as the paper's code has it.
            filters = round(width) if widths == "round" else int(width)
            keep = 1 - (number + 1) / blocks * 0.5
            y = _residual(
                layers, y, block(layers, y, filters, stride), keep if is_shaken else 1
            )
        x = keras.Model(inputs, y, name=f"group{group + 1}")(x)
    logits = layers.logits(layers.normalize(x), num_classes, paper_head(num_classes))
    return keras.Model(images, logits, name=f"pyramidnet{depth}")


def _residual(
    layers: Layers, x: keras.KerasTensor, y: keras.KerasTensor, keep: float
) -> keras.KerasTensor:
    """Return the sum of a block's output and its inputs, pooled and padded."""
    if keep < 1:
        y = gates.ShakeDrop(keep, dtype=layers.policy)(y)
    stride = -(-x.shape[1] // y.shape[1])
    x = layers.pool(x, stride, stride)
    return layers.add(y, layers.pad_channels(x, y.shape[-1]))


def _bottleneck(
    layers: Layers, x: keras.KerasTensor, filters: int, stride: int
) -> keras.KerasTensor:
    x = layers.convolution(layers.normalize(x, relu=False), filters, 1)
    x = layers.convolution(layers.normalize(x), filters, 3, stride)
    x = layers.convolution(layers.normalize(x), 4 * filters, 1)
    return layers.normalize(x, relu=False)


def _basic(
    layers: Layers, x: keras.KerasTensor, filters: int, stride: int
) -> keras.KerasTensor:
    x = layers.convolution(layers.normalize(x, relu=False), filters, 3, stride)
    x = layers.convolution(layers.normalize(x), filters, 3)
    return layers.normalize(x, relu=False)
