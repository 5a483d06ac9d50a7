"""The inputs and outputs of a model by their names, where one of each is wanted."""

import keras

ENDS = ("inputs", "outputs")


def way_on(
    model: keras.Model, image_shape: tuple[int, int, int], num_classes: int
) -> str:
    """Return what to save instead of a model, as the end of a sentence.

    Args:
        model: A model with no or several inputs or outputs.
        image_shape: (H, W, C) of the data.
        num_classes: The number of classes of the data.
    """
    inputs, outputs = (getattr(model, name, None) or [] for name in ENDS)
    if not ((inputs and outputs) or isinstance(model, keras.Sequential)):
        return (
            f", and a keras.Model that is sub-classed, as {type(model).__name__} is, "
            f"shows none: save the functional one around it, x = "
            f"keras.Input({image_shape}); keras.Model(x, model(x)).save('x.keras')"
        )
    if not inputs or not outputs:
        return (
            ", and a model that was never built has none: call it on images, then save "
            "it"
        )
    if len(inputs) > 1:
        return (
            f": images are all that it is given, and it takes {_named(model.input)}; "
            "save a model of images alone"
        )
    named = dict(_parts(model.output))
    fits = [key for key, end in named.items() if end.shape == (None, num_classes)]
    key = (fits or list(named))[0]
    return (
        f": save keras.Model(model.inputs, model.output[{key!r}]) with the one that is "
        f"to be trained; its outputs are {_named(model.output)}"
    )


def _parts(ends: object) -> list[tuple[str | int, keras.KerasTensor]]:
    """Return the key of each of a model's ends in what holds them, and the end."""
    if isinstance(ends, dict):
        return list(ends.items())
    return list(enumerate(keras.tree.flatten(ends)))


def _named(ends: object) -> str:
    """Return each of a model's ends by its key, with its shape."""
    return ", ".join(f"{key!r} {tuple(end.shape)}" for key, end in _parts(ends))
