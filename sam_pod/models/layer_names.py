"""Names of layers that do not depend on what a process made before."""

import re

import keras


def counted_from_the_first(model: keras.Model) -> dict[str, str]:
    """Return by name the layers that Keras named, as in a process of their own.

    Keras counts the layers of a class that are not named, over all that a process
    makes; here they are counted from the first of the model.
    """
    parts = {}
    for layer in model._flatten_layers(include_self=False):
        base, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer.name).groups()
        if base.replace("_", "") == type(layer).__name__.lower():
            parts[layer.name] = base, int(number or 0)
    least: dict[str, int] = {}
    for base, number in parts.values():
        least[base] = min(number, least.get(base, number))
    return {
        name: f"{base}_{number - least[base]}" if number > least[base] else base
        for name, (base, number) in parts.items()
    }


def of_variables(model: keras.Model, names: list[str]) -> list[str]:
    """Return names of variables with such names of the layers in them."""
    renamed = counted_from_the_first(model)
    return ["/".join(renamed.get(p, p) for p in name.split("/")) for name in names]
