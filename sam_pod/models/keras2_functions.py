"""TensorFlow's functions between the layers of tf.keras 2, as layers of Keras 3.

tf.keras 2 kept each call of a function on its symbolic tensors (`x / 255`,
`tf.nn.relu(x)`, what `preprocess_input` does) as a layer `TFOpLambda` of its own, which
Keras 3 has not. A layer that does the same takes its place.
"""

from typing import Any

import numpy as np

from sam_pod import errors

_CLASSES = ("TFOpLambda", "SlicingOpLambda")
_CONSTANT = "_CONSTANT_VALUE"  # It stands where the first argument is no tensor.
_GETITEM = "__operators__.getitem"
_OPERATIONS = "keras.src.ops.numpy"  # Where Keras 3 has these, which are no layers.
_PARTS = ("GetItem", "Flip")
_ELLIPSIS = {"class_name": "__ellipsis__"}
_REVERSED = {"start": None, "stop": None, "step": -1}
_ARITHMETIC = {
    **dict.fromkeys(("math.add", "__operators__.add", "nn.bias_add"), "Add"),
    **dict.fromkeys(("math.subtract", "__operators__.sub"), "Subtract"),
    **dict.fromkeys(("math.multiply", "__operators__.mul"), "Multiply"),
    **dict.fromkeys(("math.truediv", "math.divide", "__operators__.truediv"), "Divide"),
}
_ACTIVATIONS = {
    **{f"nn.{name}": name for name in ("elu", "relu", "relu6", "selu", "softplus")},
    **dict.fromkeys(("nn.silu", "nn.swish"), "silu"),
    **dict.fromkeys(("math.sigmoid", "nn.sigmoid", "sigmoid"), "sigmoid"),
    **dict.fromkeys(("math.tanh", "nn.tanh", "tanh"), "tanh"),
    "identity": "linear",
}


def translate(name: str, objects: list[dict[str, Any]]) -> None:
    """Change calls of functions to layers that do the same.

    Args:
        name: The file's name.
        objects: All objects serialized in it; changed in place.

    Raises:
        UserError: naming a function for which there is no such layer.
    """
    for found in objects:
        if found["class_name"] not in _CLASSES:
            continue
        layers = [_layer(found, node) for node in found.get("inbound_nodes", [])]
        if not layers or None in layers or any(x[:2] != layers[0][:2] for x in layers):
            function = found["config"].get("function")
            raise errors.UserError(
                f"{name} is of tf.keras 2 and calls TensorFlow's function "
                f"`tf.{function}` between its layers ({found['config'].get('name')!r}),"
                " which Keras 3 cannot read: put a layer of Keras in its place where "
                "the model was made, and save it again."
            )
        kind, settings, _ = layers[0]
        keys = ("name",) if kind in _PARTS else ("name", "trainable", "dtype")
        kept = {key: found["config"].get(key) for key in keys}
        found["class_name"], found["config"] = kind, {**kept, **settings}
        found["inbound_nodes"] = [inputs for _, _, inputs in layers]
        found.pop("build_config", None)  # It knows the first input alone.
        if kind in _PARTS:
            found["module"], found["registered_name"] = _OPERATIONS, kind
        elif "module" in found:
            found["module"], found["registered_name"] = "keras.layers", None


def _layer(
    found: dict[str, Any], node: list[Any]
) -> tuple[str, dict[str, Any], list[Any]] | None:
    """Return class, settings and inputs of the layer that does what one call does."""
    if len(node) != 4 or not isinstance(node[0], str):
        return None
    function, said = found["config"].get("function"), node[3]
    said = {key: value for key, value in said.items() if value is not None}
    tensor = [*node[:3], {}]
    if function == _GETITEM and node[0] != _CONSTANT and set(said) == {"slice_spec"}:
        return _part(node, said["slice_spec"])
    if function in _ACTIVATIONS and not said and node[0] != _CONSTANT:
        return "Activation", {"activation": _ACTIVATIONS[function]}, [tensor]
    if function == "math.reduce_mean" and node[0] != _CONSTANT:
        keepdims = said.pop("keepdims", False)
        if said == {"axis": [1, 2]}:
            return "GlobalAveragePooling2D", {"keepdims": keepdims}, [tensor]
    if function not in _ARITHMETIC or len(said) != 1:
        return None
    kind, (key, other) = _ARITHMETIC[function], said.popitem()
    if key not in ("y", "bias"):
        return None
    if node[0] == _CONSTANT:
        return _with_constant_first(kind, node[2], other)
    if _is_tensor(other):
        inputs = [tensor, [*other[:3], {}]]
        return None if kind == "Divide" else (kind, {}, inputs)
    if not _is_constant(other) or (kind == "Divide" and not np.all(other)):
        return None
    return "Rescaling", _rescaling(kind, other), [tensor]


def _part(node: list[Any], parts: list[Any]) -> Any:
    """Return class, settings and inputs of the operation that is `x[parts]`.

    None where there is none: Keras' files of HDF5 cannot hold an ellipsis, so that only
    `x[..., ::-1]`, colours in another order, is read with one.
    """
    if parts == [_ELLIPSIS, _REVERSED]:
        return "Flip", {"axis": -1}, [[*node[:3], {}]]
    key = [_index(part) for part in parts]
    return None if None in key else ("GetItem", {}, _sliced(node, key))


def _index(part: Any) -> Any:
    """Return a number or a slice as Keras 3 writes it; None for anything else."""
    if type(part) is int:
        return part
    if not isinstance(part, dict) or set(part) != {"start", "stop", "step"}:
        return None
    if not all(end is None or type(end) is int for end in part.values()):
        return None
    return {"class_name": "__slice__", "config": part}


def _sliced(node: list[Any], key: list[Any]) -> dict[str, Any]:
    """Return a call of a slice with its key, which a list of tensors cannot hold."""
    settings = {"shape": [None], "dtype": "float32", "keras_history": node[:3]}
    tensor = {"class_name": "__keras_tensor__", "config": settings}
    return {"args": [tensor, key], "kwargs": {}}


def _with_constant_first(
    kind: str, constant: Any, other: Any
) -> tuple[str, dict[str, Any], list[Any]] | None:
    if kind == "Divide" or not _is_constant(constant) or not _is_tensor(other):
        return None
    settings = _rescaling("Add" if kind == "Subtract" else kind, constant)
    if kind == "Subtract":
        settings["scale"] = -1.0
    return "Rescaling", settings, [[*other[:3], {}]]


def _rescaling(kind: str, constant: Any) -> dict[str, Any]:
    """Return the settings of the Rescaling that equals an operation with a constant."""

    if kind == "Multiply":
        return {"scale": constant, "offset": 0.0}
    if kind == "Divide":
        return {"scale": (1 / np.array(constant, "float64")).tolist(), "offset": 0.0}
    sign = -1.0 if kind == "Subtract" else 1.0
    return {"scale": 1.0, "offset": (sign * np.array(constant)).tolist()}


def _is_constant(value: Any) -> bool:
    """Return whether it is a number, or one for each channel."""
    values = value if isinstance(value, list) and value else [value]
    return all(type(x) in (int, float) for x in values)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str)
