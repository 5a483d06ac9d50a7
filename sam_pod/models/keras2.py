"""What a file of tf.keras 2 says of a model's architecture, in Keras 3's words."""

from typing import Any

import keras

from sam_pod import errors

_MODELS = {
    "Functional": "keras.src.models.functional",
    "Model": "keras",
    "Sequential": "keras",
}


def translate(name: str, config: Any, objects: list[dict[str, Any]]) -> None:
    """Change a configuration of tf.keras 2 so that Keras 3 reads it as it was meant.

    Args:
        name: Of the file.
        config: As JSON; changed in place.
        objects: All that is serialized in it.

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
        if kind == "MultiHeadAttention":
            found.pop("build_config", None)  # It is built when it is called.
        if isinstance(inner.get("layers"), list):
            _number_calls(inner)
        is_theirs = str(found.get("module", "")).startswith(("keras.", "tf_keras"))
        if is_theirs and kind in _MODELS:
            found["module"] = _MODELS[kind]
        elif is_theirs and hasattr(keras.layers, kind):
            found["module"] = "keras.layers"


def _number_calls(model: dict[str, Any]) -> None:
    """Number the calls of models inside a model from 0: one counted its own making."""
    inside = {
        layer["config"].get("name")
        for layer in model["layers"]
        if layer["class_name"] in _MODELS
    }
    places = [layer.get("inbound_nodes", []) for layer in model["layers"]]
    calls: list[list[Any]] = []

    def collect(content: Any) -> None:
        if not isinstance(content, list):
            return
        is_call = len(content) >= 3 and isinstance(content[1], int)
        if is_call and isinstance(content[0], str) and content[0] in inside:
            calls.append(content)
        for item in content:
            collect(item)

    collect([*places, model.get("output_layers", [])])
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
