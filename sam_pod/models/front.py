"""What a model does between its input and its first layers with weights."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from sam_pod.models import network as network_lib


class Step(NamedTuple):
    """One call of a layer or an operation on images."""

    operation: Any  # A keras.Operation.
    images: tf.Tensor  # Its input.
    outputs: tf.Tensor | None  # Its output, or None where it was not called.

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.operation.name


class Front(NamedTuple):
    """The way of images to the first layers with weights."""

    passed: list[Step]  # Before them, in order.
    first: list[Step]  # The calls of those layers, which were not made.


def walk(
    model: keras.Model, images: tf.Tensor, *, key: tf.Tensor | None = None
) -> Front:
    """Call the layers without weights on images, up to the first layers with weights.

    The model does not change, and no random state is read or moved.

    Args:
        model: A Functional or Sequential model with one input, nested or not.
        images: Images, float32 `[B, H, W, C]`.
        key: An int32 `[2]`: with one the model trains, and its layers draw by it,
            though not the numbers that they do in a step.
    """
    front = Front([], [])
    with keras.StatelessScope(state_mapping=_seeds(model, key)):
        _walk(model, images, key is not None, front)
    return front


def _seeds(model: keras.Model, key: tf.Tensor | None) -> list[tuple]:
    return [
        (variable, network_lib.layer_seed(key, i))
        for i, variable in enumerate(model.non_trainable_variables)
        if network_lib.is_seed(variable)
    ]


def _walk(
    model: keras.Model, images: tf.Tensor, trains: bool, front: Front
) -> list[tf.Tensor | None]:
    """Return the model's outputs, None for one that lies behind a layer of weights."""
    graph = getattr(model, "_functional", None) or model
    images = tf.cast(images, graph.inputs[0].dtype)
    values = {id(graph.inputs[0]): images}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or any(id(x) not in values for x in node.input_tensors):
                continue
            outputs = _call(node, values, trains, front)
            for symbol, value in zip(node.outputs, outputs, strict=True):
                if value is not None:
                    values[id(symbol)] = value
    return [values.get(id(symbol)) for symbol in graph.outputs]


def _call(
    node: Any, values: dict[int, tf.Tensor], trains: bool, front: Front
) -> list[tf.Tensor | None]:
    operation, given = node.operation, values[id(node.input_tensors[0])]
    if is_model(operation) and len(node.input_tensors) == 1:
        return _walk(operation, given, trains, front)
    if has_weights(operation):
        front.first.append(Step(operation, given, None))
        return [None] * len(node.outputs)
    args, kwargs = node.arguments.fill_in(values)
    if "training" in getattr(operation, "_call_context_args", ()):
        kwargs = {**kwargs, "training": trains}
    outputs = keras.tree.flatten(operation(*args, **kwargs))
    front.passed.append(Step(operation, given, outputs[0]))
    return outputs


def is_model(operation: Any) -> bool:
    """Return whether it is a graph of others: a functional model or a Sequential."""
    return hasattr(getattr(operation, "_functional", None) or operation, "_nodes")


def has_weights(operation: Any) -> bool:
    """Return whether a layer learns, or did; adapted normalization does not count."""
    if isinstance(operation, keras.layers.Normalization):
        return False
    return bool(getattr(operation, "weights", None))
