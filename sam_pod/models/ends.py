"""What stands at a model's two ends: shapes that fit the data, and logits."""

import math

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.models import bounds, front, several_ends
from sam_pod.models.network import Network

# Losses in nats that no training gets below: refused above, and said above.
_REFUSED, _SAID = 0.1, 1e-3


def check(
    path: str,
    model: keras.Model,
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> None:
    """Refuse a model whose inputs or outputs do not fit the data.

    Raises:
        UserError: naming the shapes.
    """
    inputs, outputs = (getattr(model, name, None) or [] for name in several_ends.ENDS)
    if len(inputs) != 1 or len(outputs) != 1:
        raise errors.UserError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; it must have "
            f"one of each{several_ends.way_on(model, image_shape, num_classes)}."
        )
    expected, given = (None, *image_shape), tuple(inputs[0].shape)
    if len(given) != 4 or any(
        a not in (None, b) for a, b in zip(given, expected, strict=True)
    ):
        raise errors.UserError(
            f"{path} takes inputs of shape {given}; the data's are {expected}"
            f"{_way_on(given, expected)}."
        )
    if not tf.as_dtype(inputs[0].dtype).is_floating:
        raise errors.UserError(
            f"{path} takes inputs of type {inputs[0].dtype}; images come as float32 in "
            "the range that `model.input_range` names ('bytes' is [0, 255]), so it "
            f"must be float32: build it on keras.Input({given[1:]}), without a dtype, "
            "and save it again."
        )
    if tuple(outputs[0].shape) == (None, 1) and num_classes == 2:
        raise errors.UserError(
            f"{path} has one output, for two classes as for binary cross-entropy; the "
            "loss takes a logit for each class: save it with a last layer of Dense(2) "
            "without an activation."
        )
    if tuple(outputs[0].shape) != (None, num_classes):
        raise errors.UserError(
            f"{path} gives outputs of shape {tuple(outputs[0].shape)}; the data has "
            f"{num_classes} classes, so they must be {(None, num_classes)}."
        )


def _way_on(given: tuple[int | None, ...], expected: tuple[int | None, ...]) -> str:
    """Return the setting that makes the data fit, '' where none does."""
    if len(given) != 4:
        return ""
    fits = [a in (None, b) for a, b in zip(given, expected, strict=True)]
    if fits[:3] == [True] * 3 and {given[3], expected[3]} == {1, 3}:
        return (
            f": set `data.channels` to {given[3]}, or prepare the data with "
            f"--channels={given[3]}"
        )
    if all(fits[1:]):
        return (
            f": its batches have {given[0]} examples and no other number; build it on "
            f"keras.Input({given[1:]}), without that, and save it again"
        )
    if given[1] == given[2] and given[1] and fits[3]:
        return f": set `data.image_size` to {given[1]}"
    return ""


def with_plain_output(model: keras.Model) -> keras.Model:
    """Return a model that gives its one output as it is, not in a dict."""
    graph = getattr(model, "_functional", None) or model
    if not isinstance(graph.output, dict):
        return model
    return keras.Model(graph.inputs[0], graph.outputs[0], name=model.name)


def without_softmax(model: keras.Model) -> keras.Model:
    """Take off the softmax or log-softmax that makes the output, where one does.

    The loss takes logits and applies its own softmax, so nothing is lost. A softmax
    that something else uses, too, stays.
    """
    graph = getattr(model, "_functional", None) or model
    if len(graph.outputs) != 1:
        return model
    outputs = _stripped(graph.outputs[0])
    if outputs is graph.outputs[0]:
        return model
    return keras.Model(graph.inputs[0], outputs, name=model.name)


def _stripped(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Return what is before the softmax; where it is a layer's activation, the same."""
    operation = tensor._keras_history.operation
    inbound = operation._inbound_nodes
    if len(inbound) != 1 or len(inbound[0].input_tensors) != 1:
        return tensor
    given = inbound[0].input_tensors[0]
    if front.is_model(operation):
        inner = without_softmax(operation)
        return tensor if inner is operation else inner(given)
    kind, activation = type(operation).__name__, getattr(operation, "activation", None)
    last = (-1, len(tensor.shape) - 1)
    if kind in ("Softmax", "LogSoftmax") and operation.axis in last:
        _check_unregularized(operation)
        return given
    if activation in (keras.activations.softmax, keras.activations.log_softmax):
        _check_unregularized(operation)
        operation.activation = keras.activations.linear
    if kind in ("Identity", "Flatten", "Reshape") or (
        kind == "Activation" and activation is keras.activations.linear
    ):
        before = _stripped(given) if given.shape[-1] == tensor.shape[-1] else given
        if before is given:
            return tensor
        _check_unregularized(operation)
        return operation(before)
    return tensor


def _check_unregularized(operation: keras.Operation) -> None:
    if getattr(operation, "activity_regularizer", None) is not None:
        raise errors.UserError(
            f"The model's layer {operation.name!r} regularizes probabilities "
            "(activity_regularizer), and the loss takes logits, without the softmax: "
            "save the model without that regularizer."
        )


def check_logits(name: str, network: Network, num_classes: int, *, begun: bool) -> None:
    """Refuse outputs that keep the loss up, or warn of them.

    Args:
        name: The name of the model's file.
        network: The network, without the softmax of its file.
        num_classes: The number of classes of the data.
        begun: Whether the run has begun already; then a warning replaces the refusal.

    Raises:
        UserError: with the least loss that such outputs can have.
    """
    model = network.model
    graph = getattr(model, "_functional", None) or model
    try:
        found = bounds.of(graph.outputs[0], num_classes)
        if found is None:
            found = _probed(network, num_classes)
    except Exception as error:  # A model can hold anything, and break anywhere.
        reason = " ".join(str(error).split())[:120]
        logging.warning("What the outputs of %s are is not known: %s", name, reason)
        return
    if found.is_free:
        return
    by = f"by its {found.name!r}" if found.name else "whatever its weights are"
    what = f"{name} gives outputs {_interval(found)}, {by}"
    remedy = "save it without an activation at its end, for the loss takes logits"
    floor = found.floor(num_classes)
    if floor > _REFUSED and not begun:
        raise errors.UserError(
            f"{what}: with {num_classes} classes no loss (cross-entropy) gets below "
            f"{floor:.3f}; {remedy}."
        )
    if floor > _SAID:
        logging.warning(
            "%s: with %d classes no loss (cross-entropy) gets below %.3f; %s.",
            what,
            num_classes,
            floor,
            remedy,
        )
    elif math.isinf(found.margin):
        logging.warning(
            "%s: at that end a class may learn nothing more; %s.", what, remedy
        )


def _interval(found: bounds.Bounds) -> str:
    low, high = (f"{x:.4g}" for x in found[:2])
    if math.isinf(found.high):
        return f"of {low} and above"
    return f"of {high} and below" if math.isinf(found.low) else f"from {low} to {high}"


def _probed(network: Network, num_classes: int) -> bounds.Bounds:
    """Return where outputs lie when the last layer's weights are very large."""
    names = list(network.initial_weights())
    near = {v.path for v in _last_weights(network.model)}
    stats = [tf.constant(s) for s in network.initial_stats().values()]
    shape = [size or 32 for size in network.model.inputs[0].shape[1:]]
    images = tf.random.stateless_uniform([4, *shape], [0, 0])

    def outputs(scale: float) -> np.ndarray:
        weights = [
            tf.random.stateless_normal(w.shape, [i, 1]) * scale
            if name in near
            else tf.constant(w)
            for i, (name, w) in enumerate(network.initial_weights().items())
        ]
        return network.apply(weights, stats, images).logits.numpy()

    if not near.intersection(names):
        return bounds.NONE
    small, opposite, large = outputs(1e3), outputs(-1e3), outputs(1e5)
    every = np.stack([small, opposite, large])
    every = every[np.isfinite(every)]
    if not every.size or every.std() == 0:
        return bounds.NONE
    if not np.all(np.isfinite(large)) or np.abs(large).max() > 2 * np.abs(small).max():
        low = 0.0 if every.min() >= 0 else -math.inf
        high = 0.0 if every.max() <= 0 else math.inf
        totals = tf.reduce_logsumexp(small, axis=1)
        if np.allclose(totals, 0, atol=1e-3):  # A log-softmax, which may stay.
            return bounds.NONE
        return bounds.Bounds(low, high, math.inf, "")
    low, high = float(every.min()), float(every.max())
    return bounds.Bounds(low, high, high - low, "")


def _last_weights(model: keras.Model) -> list[keras.Variable]:
    """Return the weights that are nearest to the output, on each way to it."""
    graph, found, seen = getattr(model, "_functional", None) or model, [], set()
    waiting = [tensor._keras_history for tensor in graph.outputs]
    while waiting:
        operation, node_index, _ = waiting.pop()
        if (id(operation), node_index) in seen:
            continue
        seen.add((id(operation), node_index))
        trained = getattr(operation, "trainable_variables", [])
        if trained and front.is_model(operation):
            found += _last_weights(operation)
        elif trained:
            found += trained
        else:
            node = operation._inbound_nodes[node_index]
            waiting += [tensor._keras_history for tensor in node.input_tensors]
    return found
