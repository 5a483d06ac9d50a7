"""What stands at a model's two ends: shapes that fit the data, and logits."""

import keras
import tensorflow as tf

from sam_pod import errors


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
    inputs, outputs = (getattr(model, name, None) or [] for name in _ENDS)
    if len(inputs) != 1 or len(outputs) != 1:
        raise errors.UserError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; it must have "
            "one of each (a model that was never built has none)."
        )
    expected, given = (None, *image_shape), tuple(inputs[0].shape)
    if len(given) != 4 or any(
        a not in (None, b) for a, b in zip(given, expected, strict=True)
    ):
        raise errors.UserError(
            f"{path} takes inputs of shape {given}; the data's are {expected}."
        )
    if not tf.as_dtype(inputs[0].dtype).is_floating:
        raise errors.UserError(
            f"{path} takes inputs of type {inputs[0].dtype}; images come as float32 in "
            "[0, 1], so it must be float32."
        )
    if tuple(outputs[0].shape) != (None, num_classes):
        raise errors.UserError(
            f"{path} gives outputs of shape {tuple(outputs[0].shape)}; the data has "
            f"{num_classes} classes, so they must be {(None, num_classes)}."
        )


_ENDS = ("inputs", "outputs")


def without_softmax(model: keras.Model) -> keras.Model:
    """Take off a softmax that makes the output, and is used for nothing else."""
    last = model.outputs[0]._keras_history.operation
    if len(last._inbound_nodes) != 1:
        return model
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs, last.input)
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
    return model
