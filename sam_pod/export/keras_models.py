"""A trained network for TensorFlow and Keras: a SavedModel, and a .keras file."""

from typing import Any

import tensorflow as tf

from sam_pod.export import plain_keras
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


class _Serving(tf.Module):
    """Holds the values, and answers with them."""

    def __init__(self, recipe: Recipe, values: state_lib.Values) -> None:
        super().__init__()
        self._recipe = recipe
        self.weights = [tf.Variable(value) for value in values.weights]
        self.stats = [tf.Variable(value, trainable=False) for value in values.stats]

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = self._recipe.network.apply(
            [tf.convert_to_tensor(weight) for weight in self.weights],
            [tf.convert_to_tensor(stat) for stat in self.stats],
            self._recipe.evaluation_images(images),
        ).logits
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}


def write_saved_model(
    folder: str,
    recipe: Recipe,
    values: state_lib.Values,
    image_shape: tuple[int, int, int],
) -> None:
    """Write a SavedModel whose one signature takes raw images, any number of them.

    Args:
        folder: A folder in TensorFlow Serving's layout, which ends in a version, a
            whole number.
        recipe: The run's recipe.
        values: The values of its checkpoint.
        image_shape: (H, W, C).
    """
    serving = _Serving(recipe, values)
    spec = tf.TensorSpec([None, *image_shape], tf.uint8, name="images")
    # As an attribute it can be called without naming the signature, too.
    serving.serve = tf.function(
        serving.__call__, input_signature=[spec], autograph=False
    )
    signatures = {tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: serving.serve}
    tf.saved_model.save(serving, folder, signatures)


def write_keras_file(path: str, recipe: Recipe, values: state_lib.Values) -> None:
    """Write the architecture with the values in it, whose own are overwritten."""
    network = recipe.network
    network.assign(values.weights, values.stats)
    plain_keras.save(network.model, path)


def signature(image_shape: tuple[int, int, int], num_classes: int) -> dict[str, Any]:
    """Return what the SavedModel's signature takes and gives, for the manifest."""
    floats = {"shape": [None, num_classes], "dtype": "float32"}
    return {
        "inputs": [{"name": "images", "shape": [None, *image_shape], "dtype": "uint8"}],
        "outputs": [{"name": name, **floats} for name in ("logits", "probabilities")],
    }
