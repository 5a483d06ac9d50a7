"""Architectures by name, or from the user's own `.keras` file."""

import os
import zipfile

import keras

from sam_pod import errors
from sam_pod.models import batch_norm as batch_norm  # Registers the layer for loading.
from sam_pod.models import resnet20
from sam_pod.models.network import Network

MODELS = {"resnet20": resnet20.build}
_DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def build(
    name: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    dtype: str = "float32",
    seed: int = 0,
) -> Network:
    """Return the network `name`: one of `MODELS`, or the path of a `.keras` file.

    Args:
        name: A file's weights are the initial weights; a softmax on its output is
            taken off, since the loss takes logits.
        image_shape: (H, W, C) of the data.
        num_classes: Of the data.
        dtype: 'float32', or 'bfloat16' for the layers' arithmetic (weights,
            statistics and logits stay float32).
        seed: Of the initial weights.

    Raises:
        UserError: unknown name, unreadable file, or a model that does not fit the data.
    """
    if keras.backend.backend() != "tensorflow":
        raise errors.UserError(
            f"Keras runs on {keras.backend.backend()!r}; set KERAS_BACKEND=tensorflow."
        )
    keras.utils.set_random_seed(seed)
    if name.endswith(".keras"):
        return Network(_load(name, image_shape, num_classes, _DTYPE_POLICIES[dtype]))
    builder = errors.lookup(MODELS, name, "model.name")
    if min(image_shape[:2]) < 4:
        raise errors.UserError(
            f"`model.name` {name!r} takes images of at least 4 x 4 pixels; the data's "
            f"are {image_shape[0]} x {image_shape[1]}."
        )
    return Network(builder(image_shape, num_classes, _DTYPE_POLICIES[dtype]))


def _load(
    path: str, image_shape: tuple[int, int, int], num_classes: int, dtype_policy: str
) -> keras.Model:
    if not os.path.isfile(path):
        raise errors.UserError(f"`model.name` is {path!r}; there is no such file.")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:300]
        raise errors.UserError(
            f"`model.name` {path!r} is not a model that Keras can load: {reason}"
        ) from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise errors.UserError(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "it must have one of each."
        )
    expected, given = (None, *image_shape), tuple(model.inputs[0].shape)
    if len(given) != 4 or any(
        a not in (None, b) for a, b in zip(given[1:], image_shape, strict=True)
    ):
        raise errors.UserError(
            f"{path} takes inputs of shape {given}; the data's are {expected}."
        )
    if tuple(model.outputs[0].shape) != (None, num_classes):
        raise errors.UserError(
            f"{path} gives outputs of shape {tuple(model.outputs[0].shape)}; the data "
            f"has {num_classes} classes, so they must be {(None, num_classes)}."
        )
    if not model.trainable_variables:
        raise errors.UserError(f"{path} has no trainable weights.")
    return _with_policy(_without_softmax(model), dtype_policy)


def _without_softmax(model: keras.Model) -> keras.Model:
    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs, last.input)
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
    return model


def _with_policy(model: keras.Model, dtype_policy: str) -> keras.Model:
    if dtype_policy == "float32":
        return model
    for layer in model._flatten_layers(include_self=False):
        if not isinstance(layer, keras.layers.InputLayer):
            layer.dtype_policy = keras.DTypePolicy(dtype_policy)
    return model
