"""Names for the variables of a model, each its own.

Keras' paths begin at the layer that has the variable: two sub-models with a layer
`conv` each have two variables `conv/kernel`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import keras


def of(model: keras.Model, variables: Sequence[keras.Variable]) -> list[str]:
    """Return a name for each variable; none has that of another of the model.

    The name is Keras' path if no other variable has that, else the path with the names
    of the layers around it, and with a number where these are equal, too.

    Args:
        model: The model that has the variables.
        variables: Some or all of the model's variables.
    """
    every = [*model.trainable_variables, *model.non_trainable_variables]
    count = Counter(variable.path for variable in every)
    taken = {path for path, times in count.items() if times == 1}
    around = _owners(model) if len(taken) < len(every) else {}
    names = {}
    for variable in every:
        name = variable.path
        if count[name] > 1:
            name = "/".join((*around[id(variable)], variable.name))
            name = _free(name, taken)
            taken.add(name)
        names[id(variable)] = name
    return [names[id(variable)] for variable in variables]


def _free(name: str, taken: Iterable[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _owners(model: keras.Model) -> dict[int, tuple[str, ...]]:
    """Return the names of the layers around each variable, by the variable's id."""
    found: dict[int, tuple[str, ...]] = {}
    for layer, names in _layers(model, ()):
        for variable in layer.variables:
            # The deepest owns it; if a layer has two places, the first one names it.
            if len(names) > len(found.get(id(variable), ())):
                found[id(variable)] = names
    return found


def _layers(
    layer: keras.Layer, names: tuple[str, ...]
) -> Iterator[tuple[keras.Layer, tuple[str, ...]]]:
    """Yield each layer inside, with the names from the outermost to its own."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        path = (*names, inner.name)
        yield inner, path
        yield from _layers(inner, path)
