"""A strided convolution of 1 x 1 that spares a TPU's memory."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sam_pod")
class StridedPointwiseConv2D(keras.layers.Conv2D):
    """Compute a strided `keras.layers.Conv2D` of 1 x 1, the shortcut of a ResNet.

    What it looks at is cut out before it is convolved in the forward pass, which then
    reads no more; the gradients are those of the strided convolution, since that of the
    cut, padded, is one more tensor of the inputs' size. Arguments, weights and results
    are Keras'; inputs are `[B, H, W, C]`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `keras.layers.Conv2D` takes.

        Raises:
            ValueError: a kernel that is larger, or channels that come first.
        """
        super().__init__(*args, **kwargs)
        if self.kernel_size != (1, 1) or self.data_format != "channels_last":
            raise ValueError(
                f"The kernel is {self.kernel_size} and data_format "
                f"{self.data_format!r}; they must be (1, 1) and 'channels_last': use "
                "keras.layers.Conv2D for others."
            )

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Return inputs convolved with the kernel; Keras' hook of `call`."""
        rows, columns = self.strides
        strides = [1, rows, columns, 1]

        @tf.custom_gradient
        def convolve(
            x: tf.Tensor, kernel: tf.Tensor
        ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
            def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                both = {"out_backprop": dy, "strides": strides, "padding": "SAME"}
                dx = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x), filter=kernel, **both
                )
                d_kernel = tf.raw_ops.Conv2DBackpropFilter(
                    input=x, filter_sizes=tf.shape(kernel), **both
                )
                return dx, d_kernel

            return tf.nn.conv2d(x[:, ::rows, ::columns], kernel, 1, "VALID"), gradient

        return convolve(inputs, tf.convert_to_tensor(kernel))
