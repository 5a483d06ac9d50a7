"""The input of a model, read from its file without building the model."""

import json
import os
import zipfile
from typing import Any


def input_channels(name: str) -> int | None:
    """Return the channels of the input of a .keras file; None where it does not say.

    Args:
        name: The value of `model.name`.
    """
    try:
        with zipfile.ZipFile(os.path.expanduser(name)) as file:
            config = json.loads(file.read("config.json"))
        found = list(_shapes(config["config"]["layers"]))
        return found[0][3] if len(found) == 1 and len(found[0]) == 4 else None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def _shapes(layers: list[dict[str, Any]]) -> Any:
    for layer in layers:
        if layer["class_name"] == "InputLayer":
            inside = layer["config"]
            yield inside.get("batch_shape") or inside["batch_input_shape"]
