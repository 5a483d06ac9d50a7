"""Architectures by name, or from the user's own file."""

import functools
import os
from collections.abc import Mapping
from typing import Any

import keras

from sam_pod import errors
from sam_pod.models import (
    batch_norm,
    keras_applications,
    keras_file,
    model_file,
    pyramidnet,
    resnet20,
    resnet_cifar,
    resnet_imagenet,
    shake_shake,
    vit,
    wide_resnet,
)
from sam_pod.models.architecture import Architecture
from sam_pod.models.network import Network
from sam_pod.process import keras_settings

_AS_ABOVE = "likewise"


def _he(depth: int, of: str = _AS_ABOVE) -> Architecture:
    build = functools.partial(resnet_cifar.build_he, depth=depth)
    return Architecture(build, least=4, reads=("shortcut",), of=of)


def _wide(depth: int, width: int, of: str = _AS_ABOVE) -> Architecture:
    build = functools.partial(wide_resnet.build, depth=depth, width=width)
    return Architecture(build, least=4, reads=("shortcut", "normalization"), of=of)


def _pyramid(depth: int, alpha: int, has_bottlenecks: bool, of: str) -> Architecture:
    build = functools.partial(
        pyramidnet.build, depth=depth, alpha=alpha, has_bottlenecks=has_bottlenecks
    )
    return Architecture(build, least=4, reads=("widths", "shake_drop"), of=of)


def _imagenet(depth: int, of: str = _AS_ABOVE) -> Architecture:
    build = functools.partial(resnet_imagenet.build, depth=depth)
    return Architecture(
        build, least=32, of=of, image_shape=(224, 224, 3), num_classes=1000
    )


def _vit(size: str, patch: int, of: str = _AS_ABOVE) -> Architecture:
    width, heads = vit.SIZES[size]
    build = functools.partial(vit.build, width=width, heads=heads, patch=patch)
    return Architecture(
        build,
        least=patch,
        patch=patch,
        of=of,
        image_shape=(224, 224, 3),
        num_classes=1000,
    )


MODELS = {
    "resnet20": Architecture(
        resnet20.build,
        least=4,
        of="the notebook that this project started from: bottlenecks",
    ),
    "resnet20_he": _he(20, "arXiv 1512.03385, section 4.2, option A"),
    "resnet32": _he(32),
    "resnet56": _he(56),
    "resnet18": Architecture(
        resnet_cifar.build_18,
        least=8,
        of="arXiv 1512.03385, table 1, with a stem of 3 x 3 and no pooling",
    ),
    "wrn16_4": _wide(
        16, 4, "arXiv 1605.07146, with the shortcuts of the SAM paper's code"
    ),
    "wrn16_8": _wide(16, 8),
    "wrn28_10": _wide(28, 10, "likewise; the SAM paper's table 1"),
    "wrn40_10": _wide(
        40,
        10,
        "likewise; the SAM paper's figure 3, with `model.normalization=none`",
    ),
    "shake_shake26_2x96d": Architecture(
        shake_shake.build, least=4, of="arXiv 1705.07485; the SAM paper's table 1"
    ),
    "pyramidnet110": _pyramid(
        110,
        270,
        has_bottlenecks=False,
        of="arXiv 1610.02915, basic blocks, alpha 270; not the SAM paper's",
    ),
    "pyramidnet272": _pyramid(
        272,
        200,
        has_bottlenecks=True,
        of="likewise, bottlenecks, alpha 200, with ShakeDrop; the SAM paper's table 1",
    ),
    "resnet50": _imagenet(
        50, "arXiv 1512.03385, table 1, version 1.5; the SAM paper's table 2"
    ),
    "resnet101": _imagenet(101),
    "resnet152": _imagenet(152),
    "vit_ti16": _vit("ti", 16, "arXiv 2010.11929 as big_vision has it; no class token"),
    "vit_s32": _vit("s", 32),
    "vit_s16": _vit("s", 16),
    "vit_b32": _vit("b", 32),
    "vit_b16": _vit("b", 16),
}
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
    settings: Mapping[str, Any] | None = None,
) -> Network:
    """Return the network `name`: one of `MODELS`, or the path of a model's file.

    Args:
        name: Or 'keras:' and one of `keras.applications`. A file's weights are the
            initial weights; a softmax that makes its output is taken off, since the
            loss takes logits.
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
        settings: Values of keys of section `model`, of which a network takes those that
            it reads; None for its own defaults, which are the keys'.

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
    elif keras_applications.is_name(name):
        network = Network(
            keras_applications.build(name, image_shape, num_classes, policy)
        )
    else:
        network = _build_own(name, image_shape, num_classes, policy, settings or {})
    if batch_norm_average is not None:
        _check_can_share(name, network)
        batch_norm.share_batches(
            network.model, batch_norm_average, over_all_replicas=over_all_replicas
        )
    return network


def _check_can_share(name: str, network: Network) -> None:
    if network.couples_examples:
        raise errors.UserError(
            f"{name} has a layer of its own that lets the examples of a batch see "
            "each other, which are a replica's, and `model.batch_norm` is 'global': "
            "set it to 'replica', or take Keras' BatchNormalization."
        )


def _build_own(
    name: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    policy: str,
    settings: Mapping[str, Any],
) -> Network:
    architecture = errors.lookup(MODELS, name, "model.name")
    architecture.check(name, image_shape)
    own = {key: settings[key] for key in architecture.reads if key in settings}
    return Network(architecture.build(image_shape, num_classes, policy, **own))


def check_name(name: str) -> None:
    """Refuse a name that is neither in `MODELS` nor of Keras nor the path of a model.

    Raises:
        UserError: with the nearest name, or with what is at the path.
    """
    if model_file.is_path(name):
        model_file.read(name)
    elif keras_applications.is_name(name):
        keras_applications.check_name(name)
    elif name not in MODELS and os.path.exists(name):
        raise errors.UserError(
            f"`model.name` is {name!r}, which is no model of this package "
            f"({sorted(MODELS)}): if the file of that name is meant, give ./{name}."
        )
    else:
        errors.lookup(MODELS, name, "model.name")
