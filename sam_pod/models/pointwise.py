"""A strided convolution of 1 x 1 that spares a TPU's memory."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sam_pod")
class StridedPointwiseConv2D(keras.layers.Conv2D):
    """Compute a strided `keras.layers.Conv2D` of 1 x 1, the shortcut of a ResNet.

    What it looks at is cut out before it is convolved in the forward pass, which then
    reads no more; the gradient of its inputs is that of the strided convolution, since
    that of the cut, padded, is one more tensor of their size. What is best for the
    kernel's gradient is to be measured: see `keep_cut`. Weights and results are Keras'.
    """

    def __init__(self, *args: Any, keep_cut: bool = False, **kwargs: Any) -> None:
        """Take what `keras.layers.Conv2D` takes, for inputs `[B, H, W, C]`.

        Args:
            *args: Of Keras' layer.
            keep_cut: Whether the cut is kept for the kernel's gradient, beside the
                whole, instead of reading the whole again.
            **kwargs: Of Keras' layer.

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
        self.keep_cut = keep_cut

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same layer."""
        return {**super().get_config(), "keep_cut": self.keep_cut}

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Return inputs convolved with the kernel; Keras' hook of `call`."""
        rows, columns = self.strides

        @tf.custom_gradient
        def convolve(
            x: tf.Tensor, kernel: tf.Tensor
        ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
            cut = x[:, ::rows, ::columns]

            def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                whole = {"strides": [1, rows, columns, 1], "padding": "SAME"}
                dx = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **whole
                )
                read = {"strides": [1, 1, 1, 1], "padding": "VALID", "input": cut}
                d_kernel = tf.raw_ops.Conv2DBackpropFilter(
                    filter_sizes=tf.shape(kernel),
                    out_backprop=dy,
                    **(read if self.keep_cut else whole | {"input": x}),
                )
                return dx, d_kernel

            return tf.nn.conv2d(cut, kernel, 1, "VALID"), gradient

        return convolve(inputs, tf.convert_to_tensor(kernel))
