"""Layers that do not train: their weights become statistics that nothing moves."""

import fnmatch

import keras

from sam_pod import errors, wording
from sam_pod.models import head, layer_names

KEY = "model.frozen"
BODY = "body"  # All layers but the head.


def freeze(
    model: keras.Model, patterns: str, *, batch_norm: bool, is_of_file: bool = False
) -> int:
    """Freeze layers of a model, in place, and return how many that have weights.

    A frozen BatchNorm normalizes by its moving statistics, and keeps them.

    Args:
        model: The model, none of whose weights were read yet.
        patterns: Names of layers by comma, with `*` and `?`, or `BODY`; a sub-model's
            name stands for all that is in it. Layers that Keras numbered are called as
            in a process of their own.
        batch_norm: Whether every BatchNorm is frozen, whatever the patterns say.
        is_of_file: Whether layers are called as they are, wherever one has such a name:
            a file names them all, and its first may be `dense_1`.

    Raises:
        UserError: a pattern matches no layer with weights, or nothing is left to train.
    """
    layers = _with_weights(model)
    every = [layer for named in layers.values() for layer in named]
    frozen = _matching(model, _listed(patterns), layers, is_of_file)
    if batch_norm:
        kind = keras.layers.BatchNormalization
        norms = [layer for layer in every if isinstance(layer, kind)]
        if not norms:
            raise errors.UserError(
                "`model.freeze_batch_norm` is True, and the model has no BatchNorm: "
                "leave it at False."
            )
        frozen += norms
    for layer in frozen:
        layer.trainable = False
    if not model.trainable_variables:
        raise errors.UserError(
            f"`{KEY}` is {patterns!r}, which leaves nothing that trains: name fewer "
            f"layers, such as '{BODY}', which is all but the last."
        )
    still = {id(v) for v in model.trainable_variables}
    return sum(not any(id(v) in still for v in layer.weights) for layer in every)


def _with_weights(model: keras.Model) -> dict[str, list[keras.Layer]]:
    """Return layers by name; those of several sub-models may have the same."""
    found: dict[str, list[keras.Layer]] = {}
    for layer in model._flatten_layers(include_self=False):
        if layer.weights:
            found.setdefault(layer.name, []).append(layer)
    return found


def _listed(patterns: str) -> list[str]:
    found = [each.strip() for each in patterns.split(",") if each.strip()]
    if patterns and not found:
        raise errors.UserError(
            f"`{KEY}` is {patterns!r}, which names no layer: leave it at '', or name "
            f"some, such as '{BODY}'."
        )
    return found


def _matching(
    model: keras.Model,
    patterns: list[str],
    layers: dict[str, list[keras.Layer]],
    is_of_file: bool,
) -> list[keras.Layer]:
    found = []
    renamed = layer_names.counted_from_the_first(model)
    counted = {name: renamed.get(name, name) for name in layers}
    for pattern in patterns:
        if pattern == BODY:
            found += _body(model, layers)
            continue
        plain = pattern.replace("[", "[[]")  # A name may have it.
        names = fnmatch.filter(layers, plain) if is_of_file else []
        names = names or [n for n, c in counted.items() if fnmatch.fnmatch(c, plain)]
        if not names:
            known = list(layers if is_of_file else counted.values())
            near = errors.nearest(pattern.strip("*"), known)
            hint = (
                f"the nearest is {near!r}" if near else f"it has {wording.some(known)}"
            )
            raise errors.UserError(
                f"`{KEY}` has {pattern!r}, which is no layer with weights of the "
                f"model's; {hint}."
            )
        found += [layer for name in names for layer in layers[name]]
    return found


def _body(
    model: keras.Model, layers: dict[str, list[keras.Layer]]
) -> list[keras.Layer]:
    last = head.of(model)
    if last is None:
        raise errors.UserError(
            f"`{KEY}` is {BODY!r}, and the model's output is of several layers, none "
            "of which is the head: name the layers to freeze."
        )
    kept = {id(variable) for variable in last.variables}
    return [
        layer
        for named in layers.values()
        for layer in named
        if not any(id(variable) in kept for variable in layer.variables)
    ]
