"""A learned position for each token of a sequence."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("sam_pod")
class Positions(keras.layers.Layer):
    """Add a weight `[tokens, width]` to each sequence of tokens `[B, tokens, width]`.

    It begins normal with a deviation of 1 / sqrt(width), as big_vision's.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weight for sequences of a shape."""
        # PReLU's name for what it has of each place, of which export makes it.
        self.alpha = self.add_weight(
            name="alpha",
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=input_shape[-1] ** -0.5),
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return tokens with their positions."""
        return inputs + keras.ops.cast(self.alpha, inputs.dtype)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return input_shape


def of_keras_own_layers(
    config: dict[str, Any], shape: tuple[int, int], dtype: str
) -> keras.Model:
    """Return a model of Keras' own layers that adds the weight of such a layer.

    A PReLU's weight is all that a -1 makes of it: x - PReLU(0 x - 1) is x + weight.

    Args:
        config: The layer's.
        shape: (tokens, width).
        dtype: The dtype policy.
    """
    tokens = keras.Input(shape, dtype=keras.DTypePolicy(dtype).compute_dtype)
    constant = keras.layers.Rescaling(0.0, -1.0, dtype=dtype)(tokens)
    slope = keras.layers.PReLU(name=config["name"], dtype=dtype)(constant)
    outputs = keras.layers.Subtract(dtype=dtype)([tokens, slope])
    return keras.Model(tokens, outputs, name=config["name"])
