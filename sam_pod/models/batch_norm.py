"""Batch normalization through TensorFlow's fused operation, or over many replicas."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import tracing

# From some tensors of this replica to their means over the replicas that share one
# batch; differentiable, the same result on each.
Average = Callable[[list[tf.Tensor]], list[tf.Tensor]]


@keras.saving.register_keras_serializable("sam_pod")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Compute `keras.layers.BatchNormalization` in few passes over the activations.

    Keras 3 builds the layer from separate moments in float32, which bounds a step on
    the CPU; `FusedBatchNormV3` is one pass forward and one back, and takes bfloat16
    activations with float32 parameters and statistics. A TPU's compiler expands that
    operation, and reads less when given the mathematics: see
    `_normalize_in_few_passes`. Arguments, weights and results are Keras'; inputs are
    `[B, H, W, C]`.
    """

    # With it a batch is that of all replicas averaged over: one collective a layer
    # forward and one back, and no fused operation, which knows only its own batch.
    average: Average | None = None

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None
    ) -> tf.Tensor:
        """Normalize `[B, H, W, C]`, with the batch's statistics when training."""
        use_batch = bool(training) and self.trainable
        is_shared = use_batch and self.average is not None
        is_plain = mask is None and self.axis in (-1, len(inputs.shape) - 1)
        if not is_plain or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        if len(inputs.shape) != 4 and not is_shared:
            return super().call(inputs, training=training)
        # float32 at least: the statistics and parameters of bfloat16 activations.
        dtype = tf.as_dtype(self.variable_dtype)
        mean, variance = (
            tf.convert_to_tensor(self.moving_mean),
            tf.convert_to_tensor(self.moving_variance),
        )
        # No gamma or beta means a constant one or zero of the same type.
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones_like(mean)
        offset = tf.convert_to_tensor(self.beta) if self.center else tf.zeros_like(mean)
        inputs = tf.cast(inputs, self.compute_dtype)
        if use_batch and not is_shared and tracing.is_for_a_tpu():
            inputs, bias = _split_bias(inputs)
            bias = tf.cast(bias, dtype)
            outputs, batch_mean, batch_variance = _normalize_in_few_passes(
                inputs, scale, offset, mean - bias, self.epsilon
            )
            batch_mean += bias
        elif is_shared:
            batch_mean, batch_variance = _shared_moments(
                tf.cast(inputs, dtype), mean, self.average
            )
            outputs = tf.nn.batch_normalization(
                tf.cast(inputs, dtype),
                *(batch_mean, batch_variance, offset, scale, self.epsilon),
            )
            outputs = tf.cast(outputs, self.compute_dtype)
        else:
            outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=tf.cast(scale, tf.float32),
                offset=tf.cast(offset, tf.float32),
                mean=tf.cast(mean, tf.float32),
                variance=tf.cast(variance, tf.float32),
                epsilon=self.epsilon,
                is_training=use_batch,
            )
            # The operation returns the variance over n - 1; Keras keeps that over n.
            n = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            batch_variance *= (n - 1.0) / n
        if use_batch:
            keep = self.momentum
            self.moving_mean.assign(mean * keep + batch_mean * (1.0 - keep))
            self.moving_variance.assign(variance * keep + batch_variance * (1.0 - keep))
        return outputs


_Three = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
_LAST_AXIS = (-1, 3)  # The channels of images, `[B, H, W, C]`.


def keep_batches_apart(model: keras.Model) -> list[str]:
    """Make BatchNorm use each replica's batch, and return the layers that did not.

    The run decides whose batch it is, not the file: `share_batches` shares it.

    Args:
        model: A model, changed in place.
    """
    layers = [x for x in _layers(model) if x.synchronized]
    for layer in layers:
        layer.synchronized = False
    return [layer.name for layer in layers]


def share_batches(
    model: keras.Model, average: Average, *, over_all_replicas: bool
) -> None:
    """Make every BatchNorm of a model take the statistics of all replicas averaged.

    Args:
        model: A model, changed in place.
        average: The mean over the replicas that share a batch.
        over_all_replicas: Whether all replicas share one, which Keras' own layer can do
            by itself.

    Raises:
        UserError: a layer gets a mask.
    """
    _check_no_mask(model)
    for layer in _layers(model):
        if isinstance(layer, FusedBatchNormalization) and layer.axis in _LAST_AXIS:
            layer.average = average
        elif over_all_replicas:
            layer.synchronized = True
        else:
            layer._moments = functools.partial(_moments_of_some, layer, average)


def _layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def _check_no_mask(model: keras.Model) -> None:
    """Refuse masks of layers that normalize by a batch, and of models with such."""
    for layer in model._flatten_layers(include_self=False):
        inputs = [t for node in layer._inbound_nodes for t in node.input_tensors]
        masked = any(getattr(t, "_keras_mask", None) is not None for t in inputs)
        inside = layer._flatten_layers()
        if masked and any(
            isinstance(x, keras.layers.BatchNormalization) for x in inside
        ):
            raise errors.UserError(
                f"The model's layer {layer.name!r} gets a mask, with which a batch of "
                "several replicas has no moments here: set `model.batch_norm` to "
                "'replica'."
            )


def _moments_of_some(
    layer: keras.layers.BatchNormalization,
    average: Average,
    inputs: tf.Tensor,
    mask: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the moments that Keras' own layer normalizes with when it trains."""
    if mask is not None:  # Of a layer within a layer, which no graph shows.
        raise ValueError(
            f"{layer.name} gets a mask, with which a batch of several replicas has no "
            "moments here: set `model.batch_norm` to 'replica'"
        )
    near = tf.cast(layer.moving_mean, inputs.dtype)
    return _shared_moments(inputs, near, average, layer._reduction_axes)


def _split_bias(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return inputs of a traced layer before a bias was added to them, and that bias.

    The normalized batch does not depend on the bias: its gradient is zero, and not
    computing that zero, a sum of all gradients, spares a pass over them. Activations of
    four bytes keep the bias: with the sum, a TPU's compiler stores their gradient in
    the two bytes that its convolutions take, instead of computing it twice from wider
    values (measured: 8.2 GB a step instead of 8.9).
    """
    last = inputs.op
    is_bias = last.type == "BiasAdd" and last.get_attr("data_format") == b"NHWC"
    if is_bias and inputs.dtype.size == 2:
        return last.inputs[0], tf.stop_gradient(last.inputs[1])
    return inputs, tf.zeros(inputs.shape[-1:], inputs.dtype)


def _normalize_in_few_passes(
    inputs: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    near: tf.Tensor,
    epsilon: float,
) -> _Three:
    """Return normalized inputs, and mean and variance of each channel.

    Memory bounds a step on a TPU. Written out like this, all that is computed for each
    element becomes part of the convolutions before and after it: one pass over the
    inputs takes both sums of each direction, none writes a normalized input or its
    gradient, and the backward pass keeps nothing but the inputs.

    A variance from one pass is as exact as `near` is: where the mean is d standard
    deviations from it, d^2 times float32's rounding is lost, as in the fused operation
    on a TPU with d taken from zero. Keras' second pass over the inputs loses none.

    Args:
        inputs: Activations, channels last.
        scale: The scale, `[C]`, float32 or wider, like all that is computed.
        offset: The offset, `[C]`.
        near: Values near the mean, `[C]`: subtracted before squaring, so that little
            cancels.
        epsilon: The number that is added to the variance.
    """
    axes = list(range(len(inputs.shape) - 1))
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], scale.dtype)

    @tf.custom_gradient
    def normalize(
        inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], Callable]:
        x = tf.cast(inputs, scale.dtype)
        mean, variance = _moments_near(x, near, axes, count)
        inverse = tf.math.rsqrt(variance + epsilon)
        slope = scale * inverse
        outputs = x * slope + (offset - mean * slope)

        def gradient(upstream: tf.Tensor, *of_moments: tf.Tensor) -> _Three:
            del of_moments  # Nobody differentiates them.
            # Cast again, so that no wide copy is kept for the backward pass.
            x, dy = tf.cast(inputs, scale.dtype), tf.cast(upstream, scale.dtype)
            # A sum over `axes`, and the compiler sees that the gradient of a bias that
            # is added to the outputs, a shortcut's, is the same sum.
            d_offset = tf.raw_ops.BiasAddGrad(out_backprop=dy)
            # The sum of dy * (x - mean). Few digits cancel: those of the mean, not of
            # its square.
            d_scale = inverse * (tf.reduce_sum(dy * x, axes) - mean * d_offset)
            # slope * (dy - d_offset / count - normalized * d_scale / count), ordered so
            # that an element costs two multiplications and two additions.
            tilt = -slope * inverse * d_scale / count
            constant = -slope * d_offset / count - mean * tilt
            dx = dy * slope + x * tilt + constant
            return tf.cast(dx, inputs.dtype), d_scale, d_offset

        return (tf.cast(outputs, inputs.dtype), mean, variance), gradient

    outputs, mean, variance = normalize(inputs, scale, offset)
    return outputs, tf.stop_gradient(mean), tf.stop_gradient(variance)


def _moments_near(
    x: tf.Tensor, near: tf.Tensor, axes: Sequence[int], count: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and variance of each channel, from one pass over `x`."""
    shift = tf.reduce_sum(x - near, axes) / count
    square = tf.reduce_sum(tf.square(x - near), axes) / count
    return near + shift, tf.maximum(square - tf.square(shift), 0.0)


def _shared_moments(
    inputs: tf.Tensor,
    near: tf.Tensor,
    average: Average,
    axes: Sequence[int] | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and variance of each channel over all replicas' batches.

    Args:
        inputs: This replica's activations.
        near: Values near the mean, equal on all replicas: subtracted before squaring,
            so that little cancels.
        average: The mean over the replicas.
        axes: All axes but that of the channels; None where it is the last.
    """
    axes = list(range(len(inputs.shape) - 1)) if axes is None else axes
    mean, variance = tf.nn.moments(inputs, axes)
    offset = mean - near
    # The law of total variance: their mean, and the variance of the means.
    offset, variance, square = average([offset, variance, offset**2])
    return near + offset, variance + tf.maximum(square - offset**2, 0.0)
