"""What layers of a user's own do by the batch that they are called with.

They may let its examples see each other, and keep what they have seen. Replicas have
other examples each.
"""

import keras
import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import calls, network


def of_own_layers(model: keras.Model, image_shape: tuple[int, int, int]) -> bool:
    """Return whether the first example's outputs depend on others where it trains.

    But by Keras' BatchNormalization, which is told by its class.

    Args:
        model: The model.
        image_shape: (H, W, C) of its images.
    """
    known = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    image = tf.random.stateless_uniform([1, *image_shape], [0, 0])
    others = [tf.fill([3, *image_shape], value) for value in (0.0, 1.0)]
    try:
        for layer in known:
            layer.trainable = False  # It takes its moving averages.
        beside, beside_others = (
            _first_outputs(model, tf.concat([image, other], 0)) for other in others
        )
    finally:
        for layer in known:
            layer.trainable = True
    return not np.allclose(beside, beside_others, rtol=1e-4, atol=1e-6)


def _first_outputs(model: keras.Model, images: tf.Tensor) -> np.ndarray:
    with keras.StatelessScope(calls.moved(model)):  # What it writes is not kept.
        outputs = tf.nest.flatten(model.call(images, training=True))
    return np.concatenate([np.ravel(tf.cast(y[0], tf.float32)) for y in outputs])


def check_kept(
    path: str, model: keras.Model, image_shape: tuple[int, int, int]
) -> None:
    """Refuse a model that keeps in integers or booleans what depends on its batch.

    Floating statistics are averaged over replicas; these have no mean.

    Args:
        path: The name of its file.
        model: The model.
        image_shape: (H, W, C) of its images.

    Raises:
        UserError: it does.
    """
    kept = [
        variable
        for variable in model.non_trainable_variables
        if not tf.as_dtype(variable.dtype).is_floating and not network.is_seed(variable)
    ]
    seen = []
    for seed, examples in enumerate((4, 4, 8) if kept else ()):
        images = tf.random.stateless_uniform([examples, *image_shape], [0, seed])
        with keras.StatelessScope():
            model.call(images, training=True)
            seen.append([variable.numpy() for variable in kept])
    for variable, *found in zip(kept, *seen, strict=True):
        if not all(np.array_equal(found[0], other) for other in found):
            raise errors.UserError(
                f"{path} keeps in {variable.path}, which is {variable.dtype}, what "
                "depends on its batch, and that of replicas has no mean: keep it in a "
                "floating weight, which is averaged over them, and save it again."
            )
