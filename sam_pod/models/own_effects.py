"""What layers of a user's own do besides giving outputs, where training would lose it.

A step calls a model twice with values in place of its variables. What a layer writes
elsewhere is lost, and what it draws elsewhere is neither equal in both calls nor in a
run that continues.
"""

import keras
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from sam_pod import errors
from sam_pod.models import calls, network

# Keras' own that do, or hold code of others.
_LAYERS = (
    keras.layers.SpectralNormalization,
    keras.layers.Lambda,
    keras.layers.TFSMLayer,
)
_RANDOM = ("Random", "TruncatedNormal", "ParameterizedTruncated", "Multinomial")
_SEED = (
    "give the layer a keras.random.SeedGenerator as an attribute, and its numbers from "
    "keras.random with seed= that"
)


class _Scope(keras.StatelessScope):
    """Remember which variables are written, and with what."""

    def __init__(self, given: list[tuple[keras.Variable, tf.Tensor]]) -> None:
        super().__init__(given)
        self.written: list[tuple[keras.Variable, tf.Tensor]] = []

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        self.written.append(update)
        super().add_update(update)


def check(path: str, model: keras.Model, image_shape: tuple[int, int, int]) -> None:
    """Refuse a model whose layers write or draw where a step does not look.

    Args:
        path: The name of its file.
        model: The model.
        image_shape: (H, W, C) of its images.

    Raises:
        UserError: a layer writes a weight that trains or a variable that is not the
            model's, draws random numbers that are no function of its own seed, or does
            not compile.
    """
    if not any(_is_own(layer) for layer in model._flatten_layers(include_self=False)):
        return
    for training in (True, False):
        try:
            written, nodes = _traced(model, image_shape, training)
        except Exception as error:
            raise errors.UserError(
                f"{path} cannot be compiled, as a step is: {errors.reason(error)}"
            ) from error
        for variable, place in written:
            _check_written(path, model, variable, place)
        for node in nodes:
            if node.op.startswith(_RANDOM):
                raise errors.UserError(
                    f"{path} draws random numbers ({node.name}) that differ between "
                    "the two gradients of a step, and in a run that continues: "
                    f"{_SEED}, and save the model again."
                )


def _is_own(layer: keras.Layer) -> bool:
    module = type(layer).__module__.partition(".")[0]
    return module not in ("keras", "sam_pod") or isinstance(layer, _LAYERS)


def _check_written(
    path: str, model: keras.Model, variable: keras.Variable, place: str
) -> None:
    if any(variable is own for own in model.trainable_variables):
        raise errors.UserError(
            f"{path} writes its weight {variable.path} when it is called, which is "
            "lost where the weight trains: use a layer that does not (for "
            "SpectralNormalization one that divides by the norm in each call)."
        )
    if any(variable is own for own in model.non_trainable_variables):
        return
    if network.is_seed(variable):
        raise errors.UserError(
            f"{path} draws random numbers ({place}) from the seed of Keras for all, "
            f"which would be the same in every step: {_SEED}, and save the model again."
        )
    raise errors.UserError(
        f"{path} writes the variable {variable.path}, which is none of the model's, "
        "and is lost: make it one of its layer by add_weight(trainable=False)."
    )


def _traced(
    model: keras.Model, image_shape: tuple[int, int, int], training: bool
) -> tuple[list[tuple[keras.Variable, str]], list[node_def_pb2.NodeDef]]:
    """Return what a call writes, by whose operation, and its operations."""
    written = []

    def call(images: tf.Tensor) -> tf.Tensor:
        values = [
            [tf.convert_to_tensor(v) for v in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
        given = calls.values(model, *values)
        with calls.within_one(model, training=training), _Scope(given) as scope:
            outputs = model.call(images, training=training)
        written.extend(scope.written)
        return outputs

    images = tf.TensorSpec([4, *image_shape], tf.float32)
    traced = tf.function(call, autograph=False).get_concrete_function(images)
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return [(variable, tf.convert_to_tensor(v).name) for variable, v in written], nodes
