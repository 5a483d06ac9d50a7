"""How many operations a network takes for an image, counted in its graph."""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf


def of_forward(model: keras.Model, image_shape: Sequence[int]) -> int:
    """Return the operations of the products of one image's evaluation.

    Those are convolutions and products of matrices, in which a multiplication and an
    addition are two. All else is left out, and a convolution's padding is counted as if
    it were pixels. The gradient of one image takes three times as many: of each product
    one with respect to either factor.

    Args:
        model: The network.
        image_shape: (H, W, C).
    """

    @tf.function(autograph=False)
    def forward(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    traced = forward.get_concrete_function(tf.TensorSpec((1, *image_shape)))
    products = [op for op in traced.graph.get_operations() if op.type in _COUNTS]
    return sum(2 * _COUNTS[op.type](op) for op in products)


def _convolution(op: tf.Operation) -> int:
    height, width, channels, _ = op.inputs[1].shape
    return op.outputs[0].shape.num_elements() * height * width * channels


def _depthwise(op: tf.Operation) -> int:
    height, width, _, _ = op.inputs[1].shape
    return op.outputs[0].shape.num_elements() * height * width


def _product(transposes: str) -> Callable[[tf.Operation], int]:
    def count(op: tf.Operation) -> int:
        summed = op.inputs[0].shape[-2 if op.get_attr(transposes) else -1]
        return op.outputs[0].shape.num_elements() * summed

    return count


def _einsum(op: tf.Operation) -> int:
    factors = op.get_attr("equation").decode().partition("->")[0].split(",")
    sizes = {}
    for axes, factor in zip(factors, op.inputs, strict=True):
        sizes.update(zip(axes, factor.shape, strict=True))
    return math.prod(sizes.values())


_COUNTS = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product("transpose_a"),
    "BatchMatMulV2": _product("adj_x"),
    "Einsum": _einsum,
}
