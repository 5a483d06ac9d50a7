"""Models in files of any Keras release, read by the one that is here.

A newer release writes keys that this one does not know, nearly always with the value
by which nothing changes. A key is left out where it has that value, and only then.
"""

import ast
import contextlib
import os
import re
import tempfile
import warnings
from typing import Any

import keras
from absl import logging

from sam_pod import errors
from sam_pod.models import keras2, keras2_weights, model_file, own_code, saved_config
from sam_pod.storage import faults

# Keys that Keras 3.12 does not know, by class, and the value that other releases give
# them where nothing else is asked for: with it a layer does what it does without. From
# the configurations that 3.0.5 to 3.15.1 write; a value of None means that everywhere.
_ANY = object()  # What only says how the layer was built.
_DEFAULTS: dict[str, dict[str, Any]] = {
    **{
        layer: {"groups": 1}  # From tf.keras 2, where nothing else was possible.
        for layer in (
            *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
            *("DepthwiseConv1D", "DepthwiseConv2D"),
            *("SeparableConv1D", "SeparableConv2D"),
        )
    },
    **{
        layer: {"time_major": False}  # From tf.keras 2.
        for layer in ("GRU", "LSTM", "RNN", "SimpleRNN")
    },
    "BatchNormalization": {"renorm": False, "renorm_momentum": 0.99},
    "GroupQueryAttention": {"use_gate": False},
    "InputLayer": {"optional": False},
    "IntegerLookup": {"oov_method": "floormod"},
    "MultiHeadAttention": {
        "key_shape": _ANY,
        "query_shape": _ANY,
        "use_gate": False,
        "value_shape": _ANY,
    },
    "RandomRotation": {"value_range": [0, 255]},  # To 3.5, which made nothing of it.
    "StringLookup": {"oov_method": "floormod"},
}
_MOST_KEYS = 200  # In one file; each is one attempt.
_UNKNOWN = (
    re.compile(r"Unrecognized keyword arguments passed to (\w+): (\{.*\})"),
    re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'"),
)
_NOT_FOUND = re.compile(r"Could not (?:locate|deserialize) (class|function) '([^']+)'")
_NOT_IN_KERAS = re.compile(r"Could not deserialize '[\w.]*\.(\w+)' because it is not")


def load(file: model_file.ModelFile, trusted_modules: str = "") -> keras.Model:
    """Return the model in a file, not compiled.

    Args:
        file: The file's bytes.
        trusted_modules: The value of `model.trusted_modules`.

    Raises:
        UserError: naming what cannot be read, and the releases of the file and here.
    """
    custom = own_code.load(trusted_modules)
    is_safe = not own_code.allows_lambdas(trusted_modules)
    content, dropped = file.content, []
    if saved_config.saved_by(file).startswith("2."):
        content = _from_keras_2(file)
    while True:
        try:
            model = _load(file.kind, content, custom, is_safe)
        except errors.UserError:
            raise  # The disk's.
        except Exception as error:
            unknown = _unknown_keys(_cause(error))
            if not unknown or len(dropped) >= _MOST_KEYS:
                raise _refusal(file, error) from error
            content = _without(file, content, unknown)
            dropped += unknown
        else:
            break
    if saved_config.saved_by(file) != keras.__version__:
        _check_order(file, saved_config.read(file.kind, content), model)
    if dropped:
        logging.info(
            "%s was saved by Keras %s; Keras %s does not know %s, each at the value "
            "that changes nothing.",
            file.name,
            saved_config.saved_by(file),
            keras.__version__,
            ", ".join(f"`{key}` of {layer}" for layer, key in dropped),
        )
    return model


def _from_keras_2(file: model_file.ModelFile) -> bytes:
    before = saved_config.read(file.kind, file.content)
    config = saved_config.read(file.kind, file.content)
    keras2.translate(file.name, config, list(saved_config.objects(config)))
    content = saved_config.replaced(file.kind, file.content, config)
    if file.kind == model_file.KERAS:
        content = keras2_weights.moved(content, before, config)
    return content


def _check_order(
    file: model_file.ModelFile, config: dict[str, Any], model: keras.Model
) -> None:
    """Refuse a model whose layers come in another order than they were saved in.

    Their weights are stored by their place among the layers of their class.

    Raises:
        UserError: they do.
    """
    inner = config["config"]
    if not isinstance(inner, dict) or not isinstance(inner.get("layers"), list):
        return
    saved = {layer["config"].get("name"): layer for layer in inner["layers"]}
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    if list(layers) != [name for name in saved if name in layers]:
        why = f"it puts the layers of {model.name!r} in another order"
        raise errors.UserError(_line(file, why))
    for name, layer in layers.items():
        if isinstance(layer, keras.Model):
            _check_order(file, saved[name], layer)


def _load(
    kind: str, content: bytes, custom: dict[str, Any], is_safe: bool
) -> keras.Model:
    with contextlib.ExitStack() as stack:
        with faults.explained(tempfile.gettempdir()):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = os.path.join(folder, f"model.{kind}")
            with open(path, "wb") as file:
                file.write(content)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # Old files have old settings.
        return keras.models.load_model(
            path, custom_objects=custom, compile=False, safe_mode=is_safe
        )


def _cause(error: Exception) -> str:
    """Return why a file cannot be loaded, which stands at the end of Keras' message."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    text = str(error).rpartition("Exception encountered: ")[2]
    text = text.partition("Full object config:")[0]
    return " ".join(text.split())


def _unknown_keys(cause: str) -> list[tuple[str, str]]:
    """Return (class, key) of what Keras does not know."""
    if found := _UNKNOWN[0].search(cause):
        try:
            return [(found[1], key) for key in ast.literal_eval(found[2])]
        except (ValueError, SyntaxError):
            return []
    if found := _UNKNOWN[1].search(cause):
        return [(found[1], found[2])]
    return []


def _without(
    file: model_file.ModelFile, content: bytes, unknown: list[tuple[str, str]]
) -> bytes:
    """Return a file's content without keys that are at their defaults.

    Raises:
        UserError: one is not.
    """
    config = saved_config.read(file.kind, content)
    for layer, key in unknown:
        holders = [
            found
            for found in saved_config.objects(config)
            if key in found["config"] and layer in _classes(found)
        ]
        if not holders:
            raise errors.UserError(_line(file, f"it does not know `{key}` of {layer}"))
        for found in holders:
            value = found["config"].pop(key)
            default = _DEFAULTS.get(found["class_name"], {}).get(key)
            if default is not _ANY and value is not None and value != default:
                name = found["config"].get("name")
                where = f"{found['class_name']} {name!r}" if name else layer
                what = f"it does not know `{key}`, which is {value!r} in {where}"
                raise errors.UserError(_line(file, what))
    return saved_config.replaced(file.kind, content, config)


def _classes(found: dict[str, Any]) -> set[str]:
    """Return the names of a serialized object's class and of those it is built on."""
    name = found["class_name"]
    names = {name}
    for module in (keras.layers, keras.initializers, keras):
        names |= {
            base.__name__ for base in getattr(getattr(module, name, 0), "mro", list)()
        }
    return names


def _refusal(file: model_file.ModelFile, error: Exception) -> errors.UserError:
    if isinstance(error, errors.UserError):
        return error
    cause = _cause(error)
    if "Python lambda" in cause or "`Lambda` layer" in cause:
        return errors.UserError(
            f"{file.name} has a Lambda layer, which is Python code in the file, to be "
            "run here: if you trust whoever made it, set `model.trusted_modules` to "
            "'lambda'."
        )
    if found := _NOT_IN_KERAS.search(cause):
        return errors.UserError(_line(file, f"it has no {found[1]}"))
    if found := _NOT_FOUND.search(cause):
        kind, name = found[1], found[2]
        if kind == "class" and _is_keras_own(file, name):
            return errors.UserError(_line(file, f"it has no {name}"))
        return errors.UserError(
            f"{file.name} needs the {kind} {name!r}, which is not of Keras: name the "
            "module that has it, such as --config.model.trusted_modules=mine.py, if "
            "you trust its code."
        )
    return errors.UserError(_line(file, cause[:300]))


def _is_keras_own(file: model_file.ModelFile, name: str) -> bool:
    return any(
        found["class_name"] == name
        and str(found.get("module", "")).partition(".")[0] == "keras"
        for found in saved_config.objects(saved_config.read(file.kind, file.content))
    )


def _line(file: model_file.ModelFile, why: str) -> str:
    saved, here = saved_config.saved_by(file), keras.__version__
    remedy = "save it again"
    if saved not in (here, "?"):
        remedy = f"save it again without that, or from Keras {here}"
    return (
        f"`model.name` {file.name!r} is not a model that Keras can load (the file is "
        f"of Keras {saved}, here is {here}): {why.rstrip('.')}; {remedy}."
    )
