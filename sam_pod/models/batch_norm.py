"""Batch normalization through TensorFlow's fused operation."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sam_pod")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Compute `keras.layers.BatchNormalization` in one fused operation.

    Keras 3 builds the layer from separate moments in float32, which bounds a step on
    the CPU; `FusedBatchNormV3` is one pass forward and one back, and takes bfloat16
    activations with float32 parameters and statistics. Arguments, weights and results
    are Keras'; inputs are `[B, H, W, C]`.
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None
    ) -> tf.Tensor:
        """Normalize `[B, H, W, C]`, with the batch's statistics when training."""
        if mask is not None or len(inputs.shape) != 4 or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        use_batch = bool(training) and self.trainable
        mean, variance = (
            tf.convert_to_tensor(self.moving_mean),
            tf.convert_to_tensor(self.moving_variance),
        )
        # No gamma or beta means a constant one or zero of the same type.
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones_like(mean)
        offset = tf.convert_to_tensor(self.beta) if self.center else tf.zeros_like(mean)
        inputs = tf.cast(inputs, self.compute_dtype)
        outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(scale, tf.float32),
            offset=tf.cast(offset, tf.float32),
            mean=tf.cast(mean, tf.float32),
            variance=tf.cast(variance, tf.float32),
            epsilon=self.epsilon,
            is_training=use_batch,
        )
        if use_batch:
            # The operation returns the variance over n - 1; Keras keeps that over n.
            n = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            batch_variance *= (n - 1.0) / n
            keep = self.momentum
            self.moving_mean.assign(mean * keep + batch_mean * (1.0 - keep))
            self.moving_variance.assign(variance * keep + batch_variance * (1.0 - keep))
        return outputs
