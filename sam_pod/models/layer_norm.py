"""Layer normalization that reads its inputs once for their mean and variance."""

from collections.abc import Callable

import keras
import tensorflow as tf

from sam_pod.machines import tracing


@keras.saving.register_keras_serializable("sam_pod")
class LayerNormalization(keras.layers.LayerNormalization):
    """Compute `keras.layers.LayerNormalization`, on a TPU in fewer passes.

    Memory bounds a step there. Keras takes the variance from what the mean is
    subtracted from, which is a second pass; here it is the mean of the squares less the
    square of the mean, as in Flax, and the backward pass keeps the inputs alone. Where
    the mean is d standard deviations from zero, d^2 times float32's rounding is lost.
    Elsewhere it is Keras' layer. Arguments and weights are Keras'.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalize `[..., C]`."""
        is_plain = self.scale and self.center and not self.rms_scaling
        is_last = list(self.axis) in ([-1], [len(inputs.shape) - 1])
        if not (tracing.is_for_a_tpu() and is_plain and is_last):
            return super().call(inputs)
        scale, offset = (
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
        )
        outputs = _normalize(inputs, scale, offset, self.epsilon)
        return tf.cast(outputs, self.compute_dtype)


def _normalize(
    inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float
) -> tf.Tensor:
    def standard(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return inputs without mean and deviation, and one over the deviation."""
        x = tf.cast(x, scale.dtype)
        mean = tf.reduce_mean(x, -1, keepdims=True)
        square = tf.reduce_mean(tf.square(x), -1, keepdims=True)
        variance = tf.maximum(square - tf.square(mean), 0)
        inverse = tf.math.rsqrt(variance + epsilon)
        return (x - mean) * inverse, inverse

    @tf.custom_gradient
    def run(
        x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # From x again: what is kept from the forward pass has no gradient.
            found, inverse = standard(x)
            upstream = tf.cast(upstream, scale.dtype)
            scaled = upstream * scale
            along = tf.reduce_mean(scaled * found, -1, keepdims=True)
            mean = tf.reduce_mean(scaled, -1, keepdims=True)
            of_x = (scaled - mean - found * along) * inverse
            axes = list(range(len(x.shape) - 1))
            return (
                tf.cast(of_x, x.dtype),
                tf.reduce_sum(upstream * found, axes),
                tf.reduce_sum(upstream, axes),
            )

        return tf.cast(standard(x)[0] * scale + offset, x.dtype), gradient

    return run(inputs, scale, offset)
