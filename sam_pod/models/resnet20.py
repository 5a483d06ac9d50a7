"""ResNet20 of the notebook that this project started from: 575,114 parameters.

Bottleneck blocks as in arXiv 1512.03385, figure 5, in three groups of two whose
widths are 16-64-128; not that paper's own, smaller ResNet-20 for CIFAR-10. The layers,
their order and their initializers are those of sayakpaul's
Sharpness-Aware-Minimization-TensorFlow, but for the softmax: the model returns logits.
"""

import keras

from sam_pod.models import batch_norm, pointwise


def build(
    image_shape: tuple[int, int, int], num_classes: int, dtype_policy: str
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Args:
        image_shape: (H, W, C); 32 x 32 x 3 in the original. The two strided groups
            need H and W of at least 4.
        num_classes: Width of the last layer.
        dtype_policy: 'float32' or 'mixed_bfloat16'; the logits are always float32.
    """

    # Which strided shortcuts to cut. Of ten ways to compute the two, these are the best
    # for a TPU v5e and a v4 together (tests/bench/tpu_compile.py, libtpu 0.0.7): others
    # move fewer bytes on one, and more, or take more memory, on the other.
    cut = (128, 256) if dtype_policy == "float32" else (128,)

    def convolution(
        x: keras.KerasTensor, filters: int, size: int, stride: int = 1
    ) -> keras.KerasTensor:
        is_cut = size == 1 and stride > 1 and filters in cut
        kind = pointwise.StridedPointwiseConv2D if is_cut else keras.layers.Conv2D
        return kind(
            filters,
            size,
            strides=stride,
            padding="same",
            kernel_initializer="he_normal",
            dtype=dtype_policy,
        )(x)

    def normalize(x: keras.KerasTensor, relu: bool = True) -> keras.KerasTensor:
        x = batch_norm.FusedBatchNormalization(dtype=dtype_policy)(x)
        return keras.layers.ReLU(dtype=dtype_policy)(x) if relu else x

    def bottleneck(
        x: keras.KerasTensor, filters: int, expansion: int, stride: int, project: bool
    ) -> keras.KerasTensor:
        shortcut = x
        if project:
            shortcut = convolution(x, filters * expansion, 1, stride)
        x = normalize(convolution(x, filters, 1))
        x = normalize(convolution(x, filters, 3, stride))
        x = normalize(convolution(x, filters * expansion, 1), relu=False)
        x = keras.layers.Add(dtype=dtype_policy)([x, shortcut])
        return keras.layers.ReLU(dtype=dtype_policy)(x)

    images = keras.Input(image_shape)
    x = normalize(convolution(images, 16, 3))
    for filters, expansion, stride in ((16, 4, 1), (64, 2, 2), (128, 2, 2)):
        x = bottleneck(x, filters, expansion, stride, project=True)
        x = bottleneck(x, filters, expansion, 1, project=False)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype_policy)(normalize(x))
    logits = keras.layers.Dense(
        num_classes, kernel_initializer="he_normal", dtype="float32"
    )(x)
    return keras.Model(images, logits, name="resnet20")
