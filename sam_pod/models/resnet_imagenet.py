"""ResNet-50, -101 and -152 of arXiv 1512.03385, table 1, in version 1.5.

`resnet50`, `resnet101` and `resnet152` have 25,557,032, 44,549,160 and 60,192,808
parameters for 1,000 classes. They are those of the SAM paper's code (its table 2): a
block strides in its 3 x 3 and not in its first convolution, the scale of a block's last
BatchNorm begins with 0, and kernels are LeCun's normal.

What differs elsewhere: torchvision has the same parameters, but its pooling and its
strided 3 x 3 convolutions are padded on each side, and kernels are He's of the fan out;
`keras.applications.ResNet50` strides in the first convolution, and has biases.
"""

import keras

from sam_pod.models.residual import Layers, blocks

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    *,
    depth: int,
    width: int = 64,
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C); 224 x 224 x 3 in the paper.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
        depth: 50, 101 or 152.
        width: The channels of the stem.
    """
    layers = Layers(
        dtype_policy, keras.initializers.serialize(keras.initializers.LecunNormal())
    )
    images = keras.Input(image_shape)
    x = keras.layers.ZeroPadding2D(3, dtype=dtype_policy)(images)
    x = layers.normalize(layers.convolution(x, width, 7, 2, padding="valid"))
    x = keras.layers.MaxPooling2D(3, 2, padding="same", dtype=dtype_policy)(x)
    for group, _, stride in blocks(_BLOCKS[depth]):
        x = _block(layers, x, width << group, stride)
    logits = layers.logits(x, num_classes, "lecun_normal")
    return keras.Model(images, logits, name=f"resnet{depth}_v1_5")


def _block(
    layers: Layers, x: keras.KerasTensor, filters: int, stride: int
) -> keras.KerasTensor:
    y = layers.normalize(layers.convolution(x, filters, 1))
    y = layers.normalize(layers.convolution(y, filters, 3, stride))
    y = layers.convolution(y, 4 * filters, 1)
    y = layers.normalize(y, relu=False, gamma="zeros")
    if stride > 1 or x.shape[-1] != 4 * filters:
        x = layers.convolution(x, 4 * filters, 1, stride)
        x = layers.normalize(x, relu=False)
    return layers.relu(layers.add(y, x))
