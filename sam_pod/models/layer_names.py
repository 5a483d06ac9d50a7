"""Names of layers that do not depend on what a process made before."""

import re
from collections.abc import Iterable, Mapping

import keras


def counted_from_the_first(model: keras.Model) -> dict[str, str]:
    """Return by name the layers that Keras named, as in a process of their own.

    Keras counts the layers of a class that are not named, over all that a process
    makes; here they are counted from the first of the model.
    """
    return _from_the_first(_counted(model))


def of_variables(model: keras.Model, names: Iterable[str]) -> list[str]:
    """Return names of variables with such names of the layers in them."""
    return _renamed(counted_from_the_first(model), names)


def of_others(model: keras.Model, names: Iterable[str]) -> list[str]:
    """Return names of another model's variables, with its layers counted likewise.

    Which of its layers Keras named is not known: those that are called as classes of
    this model are.
    """
    bases = {base for base, _ in _counted(model).values()}
    layers = dict.fromkeys(part for name in names for part in name.split("/")[:-1])
    parts = {layer: _split(layer) for layer in layers}
    theirs = {layer: part for layer, part in parts.items() if part[0] in bases}
    return _renamed(_from_the_first(theirs), names)


def _counted(model: keras.Model) -> dict[str, tuple[str, int]]:
    """Return (base, number) of the layers that Keras named, by their names."""
    parts = {}
    # A Sequential is in its variables' paths, too.
    for layer in model._flatten_layers():
        base, number = _split(layer.name)
        if base.replace("_", "") == type(layer).__name__.lower():
            parts[layer.name] = base, number
    return parts


def _split(name: str) -> tuple[str, int]:
    base, number = re.fullmatch(r"(.*?)(?:_(\d+))?", name).groups()
    return base, int(number or 0)


def _from_the_first(parts: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    least: dict[str, int] = {}
    for base, number in parts.values():
        least[base] = min(number, least.get(base, number))
    return {
        name: f"{base}_{number - least[base]}" if number > least[base] else base
        for name, (base, number) in parts.items()
    }


def _renamed(renamed: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return ["/".join(renamed.get(p, p) for p in name.split("/")) for name in names]
