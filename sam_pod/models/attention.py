"""Attention that spares memory in bfloat16."""

from collections.abc import Callable

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sam_pod")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Compute `keras.layers.MultiHeadAttention`, with softmax kept in the layers' type.

    Both take a softmax in float32 whatever the type of the layers. XLA then keeps it
    in float32 from the forward pass to the backward pass, `[B, heads, T, T]` a layer,
    which is most of what a ViT keeps; here its gradient is taken from the values that
    the next product is fed, in bfloat16 half of that. In float32, with a mask and with
    dropout it is Keras' layer. Arguments, weights and name are Keras'.
    """

    def _compute_attention(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return what each query finds, and None for its weights; a hook of Keras'.

        Args:
            query: `[B, T, heads, width]`, projected as `key` and `value` `[B, S, …]`.
            key: Compared with the query.
            value: What is found.
            attention_mask: What a query may see; all if None.
            training: Whether dropout is on.
            return_attention_scores: Whether the weights are wanted as well.
        """
        is_float32 = query.dtype == tf.float32
        is_other = self._dropout > 0 or return_attention_scores or len(query.shape) != 4
        if is_float32 or is_other or attention_mask is not None:
            return super()._compute_attention(
                query, key, value, attention_mask, training, return_attention_scores
            )
        scores = tf.einsum("BTNH,BSNH->BNTS", query, key)
        shares = _softmax(scores, query.shape[-1] ** -0.5)
        return tf.einsum("BNTS,BSNH->BTNH", shares, value), None


def _softmax(scores: tf.Tensor, scale: float) -> tf.Tensor:
    """Return the softmax of scaled scores, computed in float32, in their type."""

    @tf.custom_gradient
    def shares_of(
        scores: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        exact = tf.nn.softmax(tf.cast(scores, tf.float32) * scale)
        shares = tf.cast(exact, scores.dtype)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            dy, y = tf.cast(upstream, tf.float32), tf.cast(shares, tf.float32)
            mean = tf.reduce_sum(dy * y, -1, keepdims=True)
            return tf.cast((dy - mean) * y * scale, scores.dtype)

        return shares, gradient

    return shares_of(scores)
