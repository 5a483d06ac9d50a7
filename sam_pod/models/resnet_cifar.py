"""ResNets for small images: those of arXiv 1512.03385, section 4.2, and a ResNet-18.

`resnet20_he`, `resnet32` and `resnet56` are that section's, with 269,722, 464,154 and
853,018 parameters for ten classes: 3 x 3 convolutions of 16, 32 and 64 channels in 3, 5
and 9 blocks of two each. Their shortcuts are option A of its section 4.1: every other
pixel, and channels of zeros behind. `shortcut='projection'` is option B, a 1 x 1
convolution with BatchNorm: 466,906 for `resnet32`.

What differs elsewhere: copies in PyTorch pad strided convolutions on each side, and the
most common one puts half of the zeros before the channels. The SAM paper's 'ResNet-32'
of noisy labels has its recipe from MentorMix, whose code has a pre-activation network
with leaky ReLUs; ours is He's.

`resnet18` is the paper's ImageNet network of table 1 as it is usual for CIFAR: a stem
of 3 x 3 without pooling, projections with BatchNorm; 11,173,962 parameters for ten
classes. Copies in PyTorch begin with that library's uniform kernels; ours with He's.
"""

import keras

from sam_pod.models.residual import Layers, blocks, fan_in, fan_out


def build_he(
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    *,
    depth: int,
    shortcut: str = "pad",
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C); 32 x 32 x 3 in the paper.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
        depth: The number of layers, 6 n + 2.
        shortcut: 'pad' for option A, or 'projection' for option B.
    """
    layers = Layers(dtype_policy, fan_in())
    images = keras.Input(image_shape)
    x = layers.normalize(layers.convolution(images, 16, 3))
    for group, _, stride in blocks([(depth - 2) // 6] * 3):
        x = _block(layers, x, 16 << group, stride, shortcut)
    logits = layers.logits(x, num_classes, "he_normal")
    return keras.Model(images, logits, name=f"resnet{depth}_he")


def build_18(
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    *,
    width: int = 64,
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C); 32 x 32 x 3 as a rule.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
        width: The channels of the first group.
    """
    layers = Layers(dtype_policy, fan_out())
    images = keras.Input(image_shape)
    x = layers.normalize(layers.convolution(images, width, 3))
    for group, _, stride in blocks([2] * 4):
        x = _block(layers, x, width << group, stride, "projection")
    return keras.Model(
        images, layers.logits(x, num_classes, "he_normal"), name="resnet18"
    )


def _block(
    layers: Layers, x: keras.KerasTensor, filters: int, stride: int, shortcut: str
) -> keras.KerasTensor:
    """Return a block of two 3 x 3 convolutions, and its shortcut."""
    y = layers.normalize(layers.convolution(x, filters, 3, stride))
    y = layers.normalize(layers.convolution(y, filters, 3), relu=False)
    if stride == 1 and x.shape[-1] == filters:
        pass
    elif shortcut == "projection":
        x = layers.normalize(layers.convolution(x, filters, 1, stride), relu=False)
    else:
        x = layers.pad_channels(layers.pool(x, 1, stride), filters)
    return layers.relu(layers.add(y, x))
