"""WideResNets of arXiv 1605.07146, as the SAM paper's code has them.

Parameters for ten classes and images of three channels, by `shortcut`:

              'pad'        'projection'  'pad', normalization 'none'
    wrn16_4   2,706,906    2,748,890     2,703,290
    wrn16_8   10,795,482   10,961,370    10,788,282
    wrn28_10  36,220,634   36,479,194    36,202,682
    wrn40_10  55,583,194   55,841,754    55,556,282

'pad' is the code of arXiv 2010.01412 (Table 1): where channels change, a shortcut is a
mean over 2 x 2 pixels, and channels of zeros behind. 'projection' is the paper of the
networks, and most copies: a 1 x 1 convolution of the activated input. The kernels are
normal with a variance of 2 over the fan out, and the last layer's uniform; no dropout.
`normalization='none'` has no BatchNorm, as in the SAM paper's Figure 3, which does not
say whether convolutions had biases: these have none.

What differs elsewhere: davda54's `WideResNet`, and what was copied from it (F-SAM,
SAMPa), has one block more in each group: its 'WRN-16-8' is a WRN-22-8 of 17,158,106
parameters, and its 'WRN-28-10' a WRN-34-10 of 46,160,474.
"""

import keras

from sam_pod.models.residual import Layers, blocks, fan_out, paper_head


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    *,
    depth: int,
    width: int,
    shortcut: str = "pad",
    normalization: str = "batch",
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C); 32 x 32 x 3 in the paper.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
        depth: The number of layers, 6 n + 4.
        width: The factor of the channels, k.
        shortcut: 'pad' or 'projection'.
        normalization: 'batch' or 'none'.
    """
    layers = Layers(dtype_policy, fan_out(), has_norm=normalization == "batch")
    images = keras.Input(image_shape)
    x = layers.convolution(images, 16, 3)
    for group, block, stride in blocks([(depth - 4) // 6] * 3):
        # The first block of all activates before its ways part.
        parts_late = not block and (not group or shortcut == "projection")
        x = _block(layers, x, 16 * width << group, stride, shortcut, parts_late)
    logits = layers.logits(layers.normalize(x), num_classes, paper_head(num_classes))
    return keras.Model(images, logits, name=f"wrn{depth}_{width}")


def _block(
    layers: Layers,
    x: keras.KerasTensor,
    filters: int,
    stride: int,
    shortcut: str,
    parts_late: bool,
) -> keras.KerasTensor:
    y = layers.normalize(x)
    if parts_late:
        x = y
    y = layers.convolution(y, filters, 3, stride)
    y = layers.convolution(layers.normalize(y), filters, 3)
    if x.shape[-1] != filters:
        if shortcut == "projection":
            x = layers.convolution(x, filters, 1, stride)
        else:
            x = layers.pad_channels(layers.pool(x, stride, stride), filters)
    return layers.add(y, x)
