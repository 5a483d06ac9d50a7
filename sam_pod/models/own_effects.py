"""What layers of a user's own do besides giving outputs, where training would lose it.

A step calls a model twice with values in place of its variables. What a layer reads
elsewhere does not train and is not saved, what it writes there is lost, and what it
draws there is neither equal in both calls nor in a run that continues.
"""

from typing import Any

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
_RANDOM = (
    *("Random", "TruncatedNormal", "ParameterizedTruncated", "Multinomial"),
    *("Rng", "StatefulRandom", "StatefulStandard", "StatefulTruncated"),
    *("StatefulUniform", "Timestamp"),
)
_PYTHON = ("PyFunc", "EagerPyFunc")
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
        UserError: a layer reads or writes a variable that is not the model's, writes a
            weight that trains, draws random numbers that are no function of its own
            seed, computes in Python when it is called, or does not compile.
    """
    for training in (True, False):
        try:
            written, read, nodes = _traced(model, image_shape, training)
        except Exception as error:
            raise errors.UserError(
                f"{path} cannot be compiled, as a step is: {errors.reason(error)}"
            ) from error
        for variable, place in written:
            _check_written(path, model, variable, place)
        _check_read(path, model, read)
        if _constants(nodes) != _constants(_traced(model, image_shape, training)[2]):
            raise errors.UserError(
                f"{path} makes values in Python, such as by np.random, when it is "
                "called, which are constants of a step and others in a run that "
                f"continues: for random numbers {_SEED}; keep a count in a weight."
            )
        for node in nodes:
            if node.op.startswith(_PYTHON):
                raise errors.UserError(
                    f"{path} runs Python code ({node.name}) whenever it is called, "
                    "which no TPU does and no checkpoint holds: write it in keras.ops "
                    "or TensorFlow's operations, and save the model again."
                )
            if node.op.startswith(_RANDOM):
                raise errors.UserError(
                    f"{path} draws random numbers ({node.name}) that differ between "
                    "the two gradients of a step, and in a run that continues: "
                    f"{_SEED}, and save the model again."
                )


def _constants(nodes: list[node_def_pb2.NodeDef]) -> list[bytes]:
    return sorted(
        node.attr["value"].tensor.SerializeToString(deterministic=True)
        for node in nodes
        if node.op == "Const"
    )


def may_be(model: keras.Model, trusted_modules: str) -> bool:
    """Return whether a model may run code that is neither Keras' nor this package's.

    Args:
        model: The model.
        trusted_modules: The value of `model.trusted_modules`, without which no layer,
            function or class of a user's own is read.
    """
    return bool(trusted_modules.strip()) or any(
        map(_is_own, model._flatten_layers(include_self=False))
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


def _check_read(path: str, model: keras.Model, read: list[tf.Variable]) -> None:
    known = {id(own.value) for own in model.variables}
    for variable in read:
        if id(variable) not in known:
            name = variable.name.partition(":")[0]
            raise errors.UserError(
                f"{path} uses the variable {name} of shape {tuple(variable.shape)}, "
                "which is none of the model's, so it would neither train nor be saved: "
                "make it one by add_weight of its layer, whose inner layers and "
                "keras.random.SeedGenerator are its attributes, and save it again."
            )


def _traced(
    model: keras.Model, image_shape: tuple[int, int, int], training: bool
) -> tuple[
    list[tuple[keras.Variable, str]], list[tf.Variable], list[node_def_pb2.NodeDef]
]:
    """Return what a call writes, by whose operation, what it reads, its operations."""
    written = []

    def call(images: tf.Tensor) -> Any:
        values = [
            [tf.convert_to_tensor(v) for v in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
        given = calls.values(model, *values)
        with calls.within_one(model, training=training), _Scope(given) as scope:
            outputs = model.call(images, training=training)
        penalties = calls.penalties(model, given)
        written.extend(scope.written)
        return outputs, penalties

    images = tf.TensorSpec([4, *image_shape], tf.float32)
    traced = tf.function(call, autograph=False).get_concrete_function(images)
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    named = [(variable, tf.convert_to_tensor(v).name) for variable, v in written]
    return named, list(traced.graph.variables), nodes
