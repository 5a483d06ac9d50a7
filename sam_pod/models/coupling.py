"""Whether layers of a user's own let the examples of a batch see each other."""

import keras
import tensorflow as tf

from sam_pod.models import own_effects

_EXAMPLES = 3


def of_own_layers(model: keras.Model, image_shape: tuple[int, int, int]) -> bool:
    """Return whether the first example's outputs depend on others where it trains.

    But by Keras' BatchNormalization, which is told by its class.

    Args:
        model: The model.
        image_shape: (H, W, C) of its images.
    """
    if not own_effects.has_own_layers(model):
        return False
    known = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    images = tf.random.stateless_uniform([_EXAMPLES, *image_shape], [0, 0])
    try:
        for layer in known:
            layer.trainable = False  # It takes its moving averages.
        with keras.StatelessScope(), tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model.call(images, training=True)
            first = [tf.reduce_sum(each[0]) for each in tf.nest.flatten(outputs)]
        seen = tape.gradient(first, images)
    finally:
        for layer in known:
            layer.trainable = True
    return seen is not None and bool(tf.reduce_any(seen[1:] != 0.0))
