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

    # The convolution for which strided shortcuts cut their inputs, by their filters.
    # This is the best of fourteen ways to compute the two for a TPU v5e and a v4
    # together (tests/bench/tpu_compile.py, libtpu 0.0.7): the others move fewer bytes
    # on one, and more, or take more memory, on the other.
    is_float32 = dtype_policy == "float32"
    cuts_for = {128: "output", 256: "output" if is_float32 else "kernel_gradient"}

    def convolution(
        x: keras.KerasTensor, filters: int, size: int, stride: int = 1
    ) -> keras.KerasTensor:
        words = {
            "strides": stride,
            "padding": "same",
            "kernel_initializer": "he_normal",
            "dtype": dtype_policy,
        }
        if size == 1 and stride > 1:
            layer = pointwise.StridedPointwiseConv2D
            return layer(filters, size, cuts_for=cuts_for[filters], **words)(x)
        return keras.layers.Conv2D(filters, size, **words)(x)

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
