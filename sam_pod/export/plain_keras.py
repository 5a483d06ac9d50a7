"""A model as a `.keras` file for any Keras from 3.5 on, without this package."""

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from sam_pod.models import positions

OLDEST_KERAS = "3.5"

# By registered name: the layer of Keras that infers the same, and how it calls keys;
# '' for those that it lacks.
_EQUIVALENTS: dict[str, tuple[str, dict[str, str]]] = {
    "sam_pod>FusedBatchNormalization": ("BatchNormalization", {}),
    "sam_pod>StridedPointwiseConv2D": ("Conv2D", {"cuts_for": ""}),
    "sam_pod>LayerNormalization": ("LayerNormalization", {}),
    "sam_pod>MultiHeadAttention": ("MultiHeadAttention", {}),
    "sam_pod>ShakeDrop": ("Rescaling", {"keep": "scale"}),
    "sam_pod>ShakeShake": ("Average", {}),
}
# By layer of Keras, keys that it needs and ours have not.
_ADDED = {"Rescaling": {"offset": 0.0}}
# By layer, the keys that Keras 3.5 does not take, with the values that mean what it
# does without them. From the signatures of 3.5.0 to 3.15.1.
_BOXES = {"bounding_box_format": (None,)}
_RANDOM = {**_BOXES, "data_format": (None, "channels_last")}
_PLACED = {**_BOXES, "factor": (None,)}
_LORA = {"lora_alpha": (None,)}
_QUANTIZED = {**_LORA, "quantization_config": (None,)}
_LATER_KEYS: dict[str, dict[str, tuple[Any, ...]]] = {
    "BatchNormalization": {
        "renorm": (False,),
        "renorm_clipping": (None,),
        "renorm_momentum": (0.99,),
    },
    "CenterCrop": _PLACED,
    "Conv1D": _LORA,
    "Conv2D": _LORA,
    "Conv3D": _LORA,
    "Dense": _QUANTIZED,
    "Embedding": _QUANTIZED,
    "EinsumDense": {**_QUANTIZED, "gptq_unpacked_column_size": (None,)},
    "GroupQueryAttention": {
        "flash_attention": (None,),
        "seed": (None,),
        "sliding_window": (None,),
        "use_gate": (False,),
    },
    "InputLayer": {"ragged": (None, False)},
    "MultiHeadAttention": {
        "flash_attention": (None,),
        "sliding_window": (None,),
        "use_gate": (False,),
    },
    "RandomBrightness": _RANDOM,
    "RandomContrast": {**_RANDOM, "value_range": ((0, 255), [0, 255])},
    "RandomCrop": _PLACED,
    "RandomFlip": {**_RANDOM, "factor": (None,)},
    "RandomRotation": _BOXES,
    "RandomTranslation": _BOXES,
    "RandomZoom": _BOXES,
    "Resizing": {"antialias": (False,), **_PLACED},
}

# Where functions of Keras that a model calls between its layers are.
_OPERATIONS = "keras.src.ops."

# Python packages whose classes and functions need no import of the user's.
_NOT_OWN = ("builtins", "keras")

_Change = Callable[[dict[str, Any]], dict[str, Any]]


def equivalent(model: keras.Model) -> keras.Model:
    """Return a model of Keras' own layers with the weights and outputs of `model`.

    Layers that are neither Keras' nor this package's stay what they are.

    Raises:
        ValueError: it has other variables than `model`.
    """
    content = keras.saving.serialize_keras_object(model)
    plain = _changed(content, _as_keras_own)
    if plain == content:
        return model
    # The model was serialized just now, so it is as safe as before.
    copy = keras.saving.deserialize_keras_object(plain, safe_mode=False)
    olds, news = model.variables, copy.variables
    if [*map(_identity, olds)] != [*map(_identity, news)]:
        raise ValueError("Keras builds other variables from its configuration")
    for old, new in zip(olds, news, strict=True):
        new.assign(old)
    return copy


def save(model: keras.Model, path: str) -> None:
    """Write `equivalent(model)` with no key that Keras 3.5 would refuse needlessly."""
    equivalent(model).save(path)
    aside = f"{path}.aside"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(aside, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "config.json":
                plain = _changed(json.loads(content), _without_later_keys)
                content = json.dumps(plain).encode()
            new.writestr(entry, content)
    os.replace(aside, path)


class Own(NamedTuple):
    """The user's code that a file needs."""

    names: list[str]  # Those by which Keras knows its classes and functions, sorted.
    modules: list[str]  # Python's names of the modules that have them, sorted.


def own_code(model: keras.Model, custom: Mapping[str, Any]) -> Own:
    """Return which code that is neither Keras' nor this package's the file needs.

    Args:
        model: The model in the file.
        custom: The user's classes and functions by name.
    """
    names: set[str] = set()
    modules: set[str] = set()

    def look(content: Any) -> None:
        if isinstance(content, dict):
            module, name = content.get("module"), content.get("registered_name")
            if content.get("class_name") == "function":  # The file has its name alone.
                name = content["config"]
                found = keras.saving.get_registered_object(name) or custom.get(name)
                module = getattr(found, "__module__", module)
            # A Lambda's code has neither: it is in the file itself.
            if name and module and module.partition(".")[0] not in _NOT_OWN:
                names.add(name)
                modules.add(module)
            content = list(content.values())
        if isinstance(content, list | tuple):
            for item in content:
                look(item)

    content = keras.saving.serialize_keras_object(model)
    look(_changed(content, _as_keras_own))
    return Own(sorted(names), sorted(modules))


def _identity(variable: keras.Variable) -> tuple[str, tuple[int, ...]]:
    """Return what of a variable stays the same in a copy of its model."""
    # The path of an inner layer begins with where it was first built, and a seed's has
    # a number.
    is_seed = variable.name == "seed_generator_state"
    last = variable.path.split("/")[-1 if is_seed else -2 :]
    return "/".join(last), tuple(variable.shape)


def _changed(content: Any, change: _Change) -> Any:
    """Return JSON content with every serialized object in it changed."""
    if isinstance(content, list | tuple):
        return type(content)(_changed(item, change) for item in content)
    if not isinstance(content, dict):
        return content
    inside = {key: _changed(value, change) for key, value in content.items()}
    is_object = "class_name" in inside and isinstance(inside.get("config"), dict)
    return change(inside) if is_object else inside


def _as_keras_own(layer: dict[str, Any]) -> dict[str, Any]:
    if layer.get("registered_name") == "sam_pod>Positions":
        return {**layer, **_positions(layer)}
    if layer.get("registered_name") not in _EQUIVALENTS:
        return layer
    name, renamed = _EQUIVALENTS[layer["registered_name"]]
    config = {renamed.get(k, k): v for k, v in layer["config"].items()}
    config = {**config, **_ADDED.get(name, {})}
    config.pop("", None)
    own = {"module": "keras.layers", "class_name": name, "registered_name": None}
    return {**layer, **own, "config": config}


def _positions(layer: dict[str, Any]) -> dict[str, Any]:
    """Return how Keras serializes what adds the same positions."""
    _, *shape = layer["build_config"]["input_shape"]
    dtype = layer["config"]["dtype"]["config"]["name"]
    model = positions.of_keras_own_layers(layer["config"], tuple(shape), dtype)
    return keras.saving.serialize_keras_object(model)


def _without_later_keys(layer: dict[str, Any]) -> dict[str, Any]:
    if (layer.get("module") or "").startswith(_OPERATIONS):
        # Keras 3.5 takes it from beside the config alone, as all do.
        kept = {k: v for k, v in layer["config"].items() if k != "name"}
        return {**layer, "config": kept}
    if layer.get("module") != "keras.layers":
        return layer
    later = _LATER_KEYS.get(layer["class_name"], {})
    kept = {
        key: value
        for key, value in layer["config"].items()
        if value not in later.get(key, ())
    }
    return {**layer, "config": kept}
