"""A model from the user's own file, checked so that it can be trained as it is."""

import re

import keras
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.models import (
    batch_norm,
    coupling,
    ends,
    head,
    image_layers,
    model_file,
    own_effects,
    own_state,
    releases,
)
from sam_pod.models.network import Network

# What a class of a user's own may do in other ways than Keras' models.
_NOT_CALLED = ("train_step", "compute_loss")
# What TensorFlow takes for the name of a scope.
_SCOPE = re.compile(r"[A-Za-z0-9_.\\/>-]*")


def load(
    path: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    dtype_policy: str,
    trusted_modules: str = "",
) -> Network:
    """Return the model in a file as a network of logits.

    Args:
        path: The local or remote path of a file that `model.save` wrote; its weights
            are the initial ones.
        image_shape: (H, W, C) of the data.
        num_classes: The number of classes of the data.
        dtype_policy: The policy of all layers, whatever they were saved with.
        trusted_modules: The value of `model.trusted_modules`.

    Raises:
        UserError: it cannot be loaded, does not fit the data, or cannot be trained.
    """
    model = releases.load(model_file.read(path), trusted_modules)
    if layers := batch_norm.keep_batches_apart(model):
        logging.info(
            "%s was saved with synchronized BatchNorm (%s): whose batch it takes is "
            "what `model.batch_norm` says.",
            path,
            ", ".join(layers),
        )
    ends.check(path, model, image_shape, num_classes)
    for method in _NOT_CALLED:
        if getattr(type(model), method) is not getattr(keras.Model, method):
            logging.warning(
                "%s: `%s` of its %s is not called; it trains on cross-entropy.",
                *(path, method, type(model).__name__),
            )
    _check_names(path, model)
    _check_trainable(path, model)
    has_own_code = own_effects.may_be(model, trusted_modules)
    if has_own_code:
        own_state.check(
            path,
            model,
            image_shape,
            lambda content: releases.load(
                model_file.ModelFile(path, model_file.KERAS, content), trusted_modules
            ),
        )
    model = ends.without_softmax(ends.with_plain_output(model))
    set_policy(model, dtype_policy)
    network = Network(model)
    _check_call(path, network, image_shape, num_classes)
    if not has_own_code:
        return network
    own_effects.check(path, model, image_shape)
    coupling.check_kept(path, model, image_shape)
    couples = coupling.of_own_layers(model, image_shape)
    return Network(model, couples_examples=couples)


def _check_names(path: str, model: keras.Model) -> None:
    for layer in _layers(model):
        if not _SCOPE.fullmatch(layer.name):
            raise errors.UserError(
                f"{path} has a layer named {layer.name!r}, which TensorFlow does not "
                "compile: in a name only letters of ASCII, digits and _ . - / count. "
                "Rename it (layer.name = …) and save the model again."
            )


def _check_trainable(path: str, model: keras.Model) -> None:
    if not model.trainable_variables:
        raise errors.UserError(f"{path} has no trainable weights.")
    for variable in model.trainable_variables:
        if variable.dtype != "float32":
            raise errors.UserError(
                f"{path} has weights of type {variable.dtype} ({variable.path}); they "
                "must be float32: save it with a float32 or a mixed policy."
            )
        if variable.constraint is not None:
            raise errors.UserError(
                f"{path} has a constraint on {variable.path}, which no optimizer here "
                "keeps: save it without."
            )
    for layer in _layers(model):
        if getattr(layer, "quantization_mode", None):
            raise errors.UserError(
                f"{path} has the quantized layer {layer.name!r}: save it before it is "
                "quantized."
            )


def set_policy(model: keras.Model, dtype_policy: str) -> None:
    """Give every layer a policy, and float32 to the one of the logits.

    So to those behind it, and where the logits are of several to the last one alone.
    """
    last = [id(operation) for operation in head.from_the_end(model)]
    for layer in _layers(model):
        if not isinstance(layer, keras.layers.InputLayer):
            policy = "float32" if id(layer) in last else dtype_policy
            layer.dtype_policy = keras.DTypePolicy(policy)


def _check_call(
    path: str, network: Network, image_shape: tuple[int, int, int], num_classes: int
) -> None:
    """Call the network as training will, and look at what comes out."""
    images = tf.random.stateless_uniform([4, *image_shape], [0, 0])
    weights = [tf.constant(w) for w in network.initial_weights().values()]
    stats = [tf.constant(s) for s in network.initial_stats().values()]
    try:
        for key in (None, tf.constant([0, 0])):
            logits = network.apply(weights, stats, images, key=key).logits
            tf.ensure_shape(logits, [4, num_classes])
    except Exception as error:
        line = image_layers.colours_only(
            path, network.model, image_shape[2], str(error)
        )
        raise errors.UserError(
            line or f"{path} cannot be called as a function of images: {_line(error)}"
        ) from error
    sums = tf.reduce_sum(logits, axis=1)
    if tf.reduce_all(logits >= 0) and tf.reduce_all(tf.abs(sums - 1.0) < 1e-2):
        raise errors.UserError(
            f"{path} gives probabilities, which sum to 1, and the loss takes logits: "
            "save it without its last softmax."
        )


def _layers(model: keras.Model) -> list[keras.Layer]:
    return list(model._flatten_layers(include_self=False))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
