"""The last layer with weights of a model: the one that makes the logits."""

from typing import Any

import keras

from sam_pod.models import front, variable_names


def of(model: keras.Model) -> keras.Layer | None:
    """Return the last layer with weights; None where the output is of several.

    Layers without weights behind it, such as an activation, are passed by.
    """
    *_, last = from_the_end(model)
    return last if front.has_weights(last) else None


def from_the_end(model: keras.Model) -> list[Any]:
    """Return what makes the output, the last first: up to the last layer with weights.

    It ends before it where an operation takes several tensors.
    """
    graph: Any = getattr(model, "_functional", None) or model
    tensor = graph.outputs[0]
    found = []
    while True:
        operation, node_index, _ = tensor._keras_history
        if front.is_model(operation):
            return found + from_the_end(operation)
        found.append(operation)
        inputs = operation._inbound_nodes[node_index].input_tensors
        if front.has_weights(operation) or len(inputs) != 1:
            return found
        tensor = inputs[0]


def names(model: keras.Model) -> list[str]:
    """Return the names of its variables; none where there is no such layer."""
    layer = of(model)
    return variable_names.of(model, layer.variables) if layer is not None else []
