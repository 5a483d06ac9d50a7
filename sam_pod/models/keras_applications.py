"""Architectures of `keras.applications` by name, with new weights."""

import keras

from sam_pod import errors
from sam_pod.models import keras_file

PREFIX = "keras:"


def is_name(name: str) -> bool:
    """Return whether `model.name` is one of these."""
    return name.startswith(PREFIX)


def check_name(name: str) -> None:
    """Refuse a name that `keras.applications` has not.

    Raises:
        UserError: with the nearest, or all.
    """
    known, wanted = _names(), name.removeprefix(PREFIX)
    if wanted in known:
        return
    folded = {each.lower(): each for each in known}
    near = folded.get(errors.nearest(wanted.lower(), folded))
    hint = f"did you mean '{PREFIX}{near}'?" if near else f"it has {', '.join(known)}."
    raise errors.UserError(
        f"`model.name` is {name!r}, and keras.applications has no {wanted!r}; {hint}"
    )


def build(
    name: str, image_shape: tuple[int, int, int], num_classes: int, dtype_policy: str
) -> keras.Model:
    """Return the functional model `[B, H, W, C]` -> logits `[B, num_classes]`.

    Its weights begin as Keras begins them; none are downloaded. Some of the models
    scale images themselves: `model.input_range` is decided as for a file.

    Args:
        name: 'keras:' and the name of a function of `keras.applications`.
        image_shape: (H, W, C).
        num_classes: Width of the last layer.
        dtype_policy: The policy of all layers but the last.

    Raises:
        UserError: no such name, or images that the model does not take.
    """
    check_name(name)
    try:
        model = getattr(keras.applications, name.removeprefix(PREFIX))(
            weights=None,
            input_shape=image_shape,
            classes=num_classes,
            classifier_activation=None,
        )
    except ValueError as error:
        raise errors.UserError(
            f"`model.name` {name!r} does not take the data's images of "
            f"{' x '.join(map(str, image_shape))}: {errors.reason(error)}; set "
            "`data.image_size` or `data.channels`, or take another model."
        ) from error
    keras_file.set_policy(model, dtype_policy)
    return model


def _names() -> list[str]:
    return sorted(
        name
        for name in dir(keras.applications)
        if name[0].isupper() and callable(getattr(keras.applications, name))
    )
