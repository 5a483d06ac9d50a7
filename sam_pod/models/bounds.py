"""Between which numbers a model's outputs must lie, given the layers that make them."""

import math
from typing import Any, NamedTuple

import keras
import numpy as np

from sam_pod.models import front

_INF = math.inf
_OF_FUNCTIONS = {
    "sigmoid": (0, 1),
    "hard_sigmoid": (0, 1),
    "sparse_sigmoid": (0, 1),
    "softmax": (0, 1),
    "sparsemax": (0, 1),
    "tanh": (-1, 1),
    "hard_tanh": (-1, 1),
    "softsign": (-1, 1),
    "relu6": (0, 6),
    "relu": (0, _INF),
    "softplus": (0, _INF),
    "squareplus": (0, _INF),
    "sparse_plus": (0, _INF),
    "exponential": (0, _INF),
    "log_sigmoid": (-_INF, 0),
    "elu": (-1, _INF),
    "celu": (-1, _INF),
    "selu": (-1.7581, _INF),
    "silu": (-0.2785, _INF),
    "hard_silu": (-0.375, _INF),
    "gelu": (-0.17, _INF),
    "mish": (-0.3088, _INF),
}
_OPERATIONS = {
    "HardSigmoid": "hard_sigmoid",
    "SparseSigmoid": "sparse_sigmoid",
    "HardTanh": "hard_tanh",
    "SparsePlus": "sparse_plus",
    "Exp": "exponential",
    "LogSigmoid": "log_sigmoid",
    "HardSilu": "hard_silu",
    **{
        name.capitalize(): name
        for name in _OF_FUNCTIONS
        if "_" not in name and name != "exponential"
    },
}
# Layers whose outputs lie between the same numbers as their inputs.
_PASSING = {
    *("Identity", "Flatten", "Reshape", "Squeeze", "GetItem", "Cast", "Dropout"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "AveragePooling2D"),
    *("MaxPooling2D", "Average", "Maximum", "Minimum", "Concatenate", "Mean", "Max"),
    *("ActivityRegularization", "SpatialDropout2D", "Transpose", "Permute"),
}

_ARITHMETIC = {
    *("Rescaling", "Multiply", "Divide", "TrueDivide", "Add", "Subtract", "Negative")
}


class Bounds(NamedTuple):
    """The numbers between which outputs lie."""

    low: float
    high: float
    margin: float  # The most by which the output of a class can exceed all others.
    name: str  # The layer that bounds them; '' where none does.

    def floor(self, num_classes: int) -> float:
        """Return the least cross-entropy that outputs within them can have, in nats."""
        return math.log1p((num_classes - 1) * math.exp(-self.margin))

    def times(self, factor: float, shift: float) -> "Bounds":
        """Return them after arithmetic."""
        ends = [shift if not factor else factor * x + shift for x in self[:2]]
        return Bounds(min(ends), max(ends), abs(factor) * self.margin, self.name)

    @property
    def is_free(self) -> bool:
        """Return whether outputs may be any numbers."""
        return self.low == -_INF and self.high == _INF


NONE = Bounds(-_INF, _INF, _INF, "")


def of(tensor: Any, num_classes: int) -> Bounds | None:
    """Return the bounds of a symbolic tensor; None where they cannot be known."""
    operation, node_index, index = tensor._keras_history
    if front.is_model(operation):
        graph = getattr(operation, "_functional", None) or operation
        return of(graph.outputs[index], num_classes)
    kind, node = type(operation).__name__, operation._inbound_nodes[node_index]
    is_kerass = type(operation).__module__.startswith("keras.")
    own = _own(operation, kind, num_classes) if is_kerass else None
    if own is not None:
        return own._replace(name=operation.name)
    function = getattr(operation, "activation", None)
    is_linear = function in (None, keras.activations.linear)
    if not is_kerass or not (is_linear or function is keras.activations.leaky_relu):
        return None
    if front.has_weights(operation):
        return NONE
    if kind in _PASSING or kind == "Activation":
        return _around([of(x, num_classes) for x in node.input_tensors])
    return _arithmetic(operation, kind, node, num_classes)


def _own(operation: Any, kind: str, num_classes: int) -> Bounds | None:
    """Return the bounds that a Keras operation has for any input."""
    if kind in ("UnitNormalization", "Normalize"):
        widest = math.sqrt(num_classes / max(num_classes - 1, 1))
        return Bounds(-1, 1, widest, "")
    if kind == "ReLU":
        if operation.negative_slope:
            return None
        high = _INF if operation.max_value is None else float(operation.max_value)
        return Bounds(0, high, high, "")
    if kind == "Clip":
        low, high = float(operation.x_min), float(operation.x_max)
        return Bounds(low, high, high - low, "")
    function = getattr(operation, "activation", None)
    name = getattr(function, "__name__", "") or _OPERATIONS.get(kind, "")
    if name == "log_softmax" or kind == "LogSoftmax":
        return NONE  # Good logits: it changes them by one number for all classes.
    if name not in _OF_FUNCTIONS:
        return None
    low, high = _OF_FUNCTIONS[name]
    return Bounds(low, high, high - low, "")


def _around(found: list[Bounds | None]) -> Bounds | None:
    if None in found or not found:
        return None
    names = ", ".join(dict.fromkeys(b.name for b in found if b.name))
    low, high = min(b.low for b in found), max(b.high for b in found)
    margin = max(b.margin for b in found) if len(found) == 1 else high - low
    return Bounds(low, high, margin, names)


def _arithmetic(
    operation: Any, kind: str, node: Any, num_classes: int
) -> Bounds | None:
    if len(node.input_tensors) != 1 or kind not in _ARITHMETIC:
        return None
    given = of(node.input_tensors[0], num_classes)
    if given is None or given.is_free:
        return given
    if kind == "Negative":
        return given.times(-1, 0)
    try:
        if kind == "Rescaling":
            return given.times(float(operation.scale), float(operation.offset))
        first, *rest = node.arguments.args
        is_first = first is node.input_tensors[0]
        constant = float(np.asarray(rest[0] if is_first else first))
    except (TypeError, ValueError, IndexError):  # One number for each class, say.
        return None
    if kind == "Multiply":
        return given.times(constant, 0)
    if kind in ("Divide", "TrueDivide") and is_first and constant:
        return given.times(1 / constant, 0)
    if kind == "Add":
        return given.times(1, constant)
    if kind == "Subtract":
        return given.times(1, -constant) if is_first else given.times(-1, constant)
    return None
