"""The architecture in a file of tf.keras 2, in Keras 3's words."""

from typing import Any

import keras

from sam_pod import errors
from sam_pod.models import keras2_functions

_MODELS = {
    "Functional": "keras.src.models.functional",
    "Model": "keras",
    "Sequential": "keras",
}


def translate(name: str, config: Any, objects: list[dict[str, Any]]) -> None:
    """Change a configuration of tf.keras 2 so that Keras 3 reads it as it was meant.

    Args:
        name: The file's name.
        config: The configuration, as JSON; changed in place.
        objects: All objects serialized in it.

    Raises:
        UserError: naming what means something else in Keras 3.
    """
    if "hard_sigmoid" in _texts(config):
        raise errors.UserError(
            f"{name} is of tf.keras 2 and uses `hard_sigmoid`, which is another "
            "function in Keras 3: put clip(0.2 * x + 0.5, 0, 1) in its place, and save "
            "it from Keras 3."
        )
    for found in objects:
        found["config"] = _plain(found["config"])
    keras2_functions.translate(name, objects)
    for found in objects:
        inner = found["config"]
        if found["class_name"] == "SyncBatchNormalization":
            found["class_name"] = "BatchNormalization"
            inner["synchronized"] = True
        kind = found["class_name"]
        if kind == "BatchNormalization" and isinstance(inner.get("axis"), list):
            inner["axis"] = inner["axis"][0]
        if kind.startswith("SeparableConv"):
            for key in ("initializer", "regularizer", "constraint"):
                inner.pop(f"kernel_{key}", None)  # It has two kernels, with their own.
        if kind.startswith("SpatialDropout"):
            inner.pop("trainable", None)  # It has no weights, and takes no such key.
        if kind == "Lambda":
            _translate_lambda(found)
        if kind == "MultiHeadAttention":
            found.pop("build_config", None)  # It is built when it is called.
        if isinstance(inner.get("layers"), list):
            if inner["layers"] and inner["layers"][0]["class_name"] == "InputLayer":
                for layer in inner["layers"][1:]:
                    layer["config"].pop("batch_input_shape", None)
            _number_calls(inner)
            _rename(inner)
        is_theirs = str(found.get("module", "")).startswith(("keras.", "tf_keras"))
        if is_theirs and kind in _MODELS:
            found["module"] = _MODELS[kind]
        elif is_theirs and hasattr(keras.layers, kind):
            found["module"] = "keras.layers"


def _plain(content: Any) -> Any:
    """Return a configuration with NumPy's numbers and policies as Keras 3 writes them.

    A dictionary that holds other objects stays the same one, which others refer to.
    """
    if isinstance(content, dict):
        inner = content.get("config")
        if content.get("class_name") in ("__numpy__", "__tensor__"):
            return inner["value"]
        if content.get("class_name") == "Policy":
            return inner["name"]
        for key, value in content.items():
            content[key] = _plain(value)
    if isinstance(content, list):
        content[:] = map(_plain, content)
    return content


def _translate_lambda(found: dict[str, Any]) -> None:
    """Write a Lambda's code as Keras 3 does, which runs it only where that is asked."""
    inner = found["config"]
    if "module" not in found:
        return  # Other code of Keras 3 reads those from before 2.13.
    if inner.get("output_shape_type") == "raw":
        for key in ("output_shape_type", "output_shape_module"):
            inner.pop(key, None)
    if inner.get("function_type") == "lambda":
        for key in ("function_type", "module"):
            inner.pop(key, None)
        parts = zip(("code", "defaults", "closure"), inner["function"], strict=True)
        inner["function"] = {"class_name": "__lambda__", "config": dict(parts)}


def _rename(model: dict[str, Any]) -> None:
    """Give layers names without a slash, which Keras 3 does not take."""
    names = {layer["config"].get("name") for layer in model["layers"]}
    new = {}
    for name in sorted(name for name in names if name and "/" in name):
        new[name] = name.replace("/", "_")
        while new[name] in names:
            new[name] += "_"
        names.add(new[name])
    for layer in model["layers"]:
        for holder in (layer, layer["config"]):
            if holder.get("name") in new:
                holder["name"] = new[holder["name"]]
    for call in _calls(model):
        call[0] = new.get(call[0], call[0])


def _calls(model: dict[str, Any]) -> list[list[Any]]:
    """Return all [layer, call, output, …] by which a model says what is connected."""
    calls: list[list[Any]] = []

    def collect(content: Any) -> None:
        if isinstance(content, dict):
            content = list(content.values())
        if not isinstance(content, list):
            return
        is_call = len(content) >= 3 and isinstance(content[1], int)
        if is_call and isinstance(content[0], str):
            calls.append(content)
        for item in content:
            collect(item)

    places = [layer.get("inbound_nodes", []) for layer in model["layers"]]
    ends = [model.get("input_layers", []), model.get("output_layers", [])]
    collect([*places, *ends])
    return calls


def _number_calls(model: dict[str, Any]) -> None:
    """Number the calls of models inside a model from 0: one counted its own making."""
    inside = {
        layer["config"].get("name")
        for layer in model["layers"]
        if layer["class_name"] in _MODELS
    }
    calls = _calls(model)
    for name in inside:
        of_one = [call for call in calls if call[0] == name]
        if of_one and min(call[1] for call in of_one) > 0:
            for call in of_one:
                call[1] -= 1


def _texts(content: Any) -> set[str]:
    """Return all texts in a configuration but keys and names of layers."""
    if isinstance(content, str):
        return {content}
    if isinstance(content, dict):
        content = [value for key, value in content.items() if key != "name"]
    if isinstance(content, list):
        return set().union(*map(_texts, content))
    return set()
