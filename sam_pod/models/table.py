"""Architectures by name, or from the user's own file."""

import os

import keras

from sam_pod import errors
from sam_pod.models import batch_norm, keras_file, model_file, resnet20
from sam_pod.models.network import Network
from sam_pod.process import keras_settings

MODELS = {"resnet20": resnet20.build}
_DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def build(
    name: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    dtype: str = "float32",
    seed: int = 0,
    batch_norm_average: batch_norm.Average | None = None,
    over_all_replicas: bool = True,
    trusted_modules: str = "",
) -> Network:
    """Return the network `name`: one of `MODELS`, or the path of a model's file.

    Args:
        name: A file's weights are the initial weights; a softmax that makes its output
            is taken off, since the loss takes logits.
        image_shape: (H, W, C) of the data.
        num_classes: The number of classes of the data.
        dtype: 'float32', or 'bfloat16' for the layers' arithmetic (weights and
            statistics stay float32, and so does the last layer).
        seed: The seed of the initial weights.
        batch_norm_average: The mean over the replicas that share BatchNorm's batch;
            without it a batch is the replica's own.
        over_all_replicas: Whether that mean is over all replicas.
        trusted_modules: The value of `model.trusted_modules`: the modules that have a
            file's own classes.

    Raises:
        UserError: unknown name, unreadable file, or a model that does not fit the data.
    """
    if keras.backend.backend() != "tensorflow":
        raise errors.UserError(
            f"Keras runs on {keras.backend.backend()!r}; set KERAS_BACKEND=tensorflow."
        )
    keras_settings.settle()
    keras.utils.set_random_seed(seed)
    policy = _DTYPE_POLICIES[dtype]
    if model_file.is_path(name):
        network = keras_file.load(
            name, image_shape, num_classes, policy, trusted_modules
        )
    else:
        network = _build_own(name, image_shape, num_classes, policy)
    if batch_norm_average is not None:
        batch_norm.share_batches(
            network.model, batch_norm_average, over_all_replicas=over_all_replicas
        )
    return network


def _build_own(
    name: str, image_shape: tuple[int, int, int], num_classes: int, policy: str
) -> Network:
    builder = errors.lookup(MODELS, name, "model.name")
    if min(image_shape[:2]) < 4:
        raise errors.UserError(
            f"`model.name` {name!r} takes images of at least 4 x 4 pixels; the data's "
            f"are {image_shape[0]} x {image_shape[1]}."
        )
    return Network(builder(image_shape, num_classes, policy))


def check_name(name: str) -> None:
    """Refuse a name that is neither in `MODELS` nor the path of a model.

    Raises:
        UserError: with the nearest name, or with what is at the path.
    """
    if model_file.is_path(name):
        model_file.read(name)
    elif name not in MODELS and os.path.exists(name):
        raise errors.UserError(
            f"`model.name` is {name!r}, which is no model of this package "
            f"({sorted(MODELS)}): if the file of that name is meant, give ./{name}."
        )
    else:
        errors.lookup(MODELS, name, "model.name")
