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
        is_theirs = str(found.get("module", "")).startswith(("keras.", "tf_keras"))
        if is_theirs and kind in _MODELS:
            found["module"] = _MODELS[kind]
        elif is_theirs and hasattr(keras.layers, kind):
            found["module"] = "keras.layers"


def _texts(content: Any) -> set[str]:
    """Return all texts in a configuration but keys and names of layers."""
    if isinstance(content, str):
        return {content}
    if isinstance(content, dict):
        content = [value for key, value in content.items() if key != "name"]
    if isinstance(content, list):
        return set().union(*map(_texts, content))
    return set()
