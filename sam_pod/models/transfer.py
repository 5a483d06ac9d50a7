"""Weights by name: what of some given values a network takes, and what it does not."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np

from sam_pod.models import head, layer_names, position_grid, variable_names
from sam_pod.models import network as network_lib

_MOST = 3  # Variables of a kind that a line names.


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a network takes of the variables that were given."""

    values: dict[str, np.ndarray]  # Taken, by name, as the network has them.
    # Positions of a transformer: by name the words on both grids.
    resized: dict[str, str]
    # Of the network, but not taken: by name its shape and the given one, or None.
    new: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]]
    unused: dict[str, tuple[int, ...]]  # Given, but not of the network: their shapes.
    is_head_alone: bool  # Nothing but variables of the last layer is new.
    parameters: int  # Of the network, with frozen ones and without statistics.
    taken_parameters: int

    def line(self) -> str:
        """Return in one line what was taken, and what was not."""
        count = len(self.values) + len(self.new)
        parts = [
            f"{len(self.values)} of {count} variables ({self.taken_parameters:,} of "
            f"{self.parameters:,} parameters) are taken by name"
        ]
        if self.resized:
            words = ", ".join(f"{name} {how}" for name, how in self.resized.items())
            parts.append(f"resized {words}")
        parts.append(f"new {self._new()}" if self.new else "none is new")
        if self.unused:
            names = [f"{n} {_shape(s)}" for n, s in self.unused.items()]
            parts.append(f"not used {_listed(names)}")
        return "; ".join(parts)

    def mismatches(self) -> str:
        """Return in words what does not fit where nothing does."""
        both = [name for name, (_, given) in self.new.items() if given is not None]
        if both:
            shapes = (f"{n} {_shapes(*self.new[n])}" for n in both)
            return f"the shapes differ: {_listed(list(shapes))}"
        wanted = [f"{n} {_shape(s)}" for n, (s, _) in self.new.items()]
        there = [f"{n} {_shape(s)}" for n, s in self.unused.items()]
        return (
            f"the model has {_listed(wanted)}; there is {_listed(there) or 'nothing'}"
        )

    def _new(self) -> str:
        return _listed([f"{n} {_shapes(*shapes)}" for n, shapes in self.new.items()])


def fit(
    network: network_lib.Network,
    given: Mapping[str, np.ndarray],
    image_shape: tuple[int, int, int],
    given_shape: tuple[int, int, int] | None = None,
) -> Fit:
    """Return what of given variables fits a network by name and shape.

    Args:
        network: The network.
        given: Weights and statistics by name.
        image_shape: (H, W, C) of its images, for a transformer's positions.
        given_shape: The same of the images of what is given; None if not known.
    """
    own, weights = variables(network.model), _parameters(network.model)
    positions = _names(network, position_grid.names(network.model))
    values, resized, new = {}, {}, {}
    there = _most_alike(network.model, own, given)
    for name, target in own.items():
        value = given.get(there[name])
        is_other = value is not None and (given_shape or value.shape != target.shape)
        if is_other and name in positions:
            found = position_grid.resized(value, target.shape, image_shape, given_shape)
            if found is not None:
                value, resized[name] = found
        if value is None or value.shape != target.shape:
            new[name] = target.shape, None if value is None else value.shape
        else:
            values[name] = np.asarray(value).astype(target.dtype)
    return Fit(
        values=values,
        resized=resized,
        new=new,
        unused={n: np.shape(v) for n, v in given.items() if n not in there.values()},
        is_head_alone=set(new) <= set(_names(network, head.names(network.model))),
        parameters=sum(own[name].size for name in weights),
        taken_parameters=sum(values[n].size for n in weights if n in values),
    )


def give(network: network_lib.Network, values: Mapping[str, np.ndarray]) -> None:
    """Make values the initial ones of a network's variables of these names."""
    if not values:
        return
    weights, stats = network.initial_weights(), network.initial_stats()
    new = [
        [values.get(name, old) for name, old in zip(names, part.values(), strict=True)]
        for part in (weights, stats)
        for names in (_names(network, part),)
    ]
    network.assign(*new)


def _most_alike(
    model: keras.Model, own: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Return by each own variable its name among given ones, '' for none.

    Layers are compared as they are called, and as if Keras had counted both models'
    from the first, where that fits more: a model of a file may begin with `dense_1`.
    """
    counted = layer_names.of_others(model, given)
    back = dict(zip(counted, given, strict=True))
    by_count = {n: back.get(c, "") for n, c in _there(own, counted).items()}
    called = variable_names.of(model, _own(model))
    there = _there(called, given)
    by_name = {n: there[c] for n, c in zip(own, called, strict=True)}

    def fitting(names: Mapping[str, str]) -> int:
        return sum(
            np.shape(given[names[n]]) == v.shape for n, v in own.items() if names[n]
        )

    # Where nothing fits, those that are counted say better what does not.
    is_by_name = fitting(by_name) >= max(fitting(by_count), 1)
    return by_name if is_by_name else by_count


def _there(own: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """Return by each name of a variable its name among given ones, '' for none.

    Layers around it may be on one side alone, where a model was part of another; what
    could be of two variables, or from two, is of none.
    """
    found = {name: name for name in own if name in given}
    others = [name for name in given if name not in found]
    ends = {
        name: [g for g in others if g.endswith(f"/{name}") or name.endswith(f"/{g}")]
        for name in own
        if name not in found
    }
    times = Counter(g for each in ends.values() for g in each)
    for name, each in ends.items():
        is_one = len(each) == 1 and times[each[0]] == 1
        found[name] = each[0] if is_one else ""
    return found


def _names(network: network_lib.Network, variables: Iterable[str]) -> list[str]:
    """Return names of its variables as other processes have them."""
    return layer_names.of_variables(network.model, list(variables))


def variables(model: keras.Model) -> dict[str, np.ndarray]:
    """Return weights and statistics of a model, by the names that `fit` takes."""
    own = _own(model)
    names = layer_names.of_variables(model, variable_names.of(model, own))
    return {n: v.numpy() for n, v in zip(names, own, strict=True)}


def _own(model: keras.Model) -> list[keras.Variable]:
    """Return weights, then statistics."""
    every = (*model.trainable_variables, *model.non_trainable_variables)
    return [variable for variable in every if not network_lib.is_seed(variable)]


def _parameters(model: keras.Model) -> list[str]:
    """Return names of all but statistics: of what trains, or would if not frozen."""
    own = {
        id(variable): variable
        for layer in model._flatten_layers()
        for variable in layer._trainable_variables
    }
    return layer_names.of_variables(model, variable_names.of(model, [*own.values()]))


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST
    shown = ", ".join(words[:_MOST])
    return f"{shown} and {more} more" if more > 0 else shown


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _shapes(own: tuple[int, ...], given: tuple[int, ...] | None) -> str:
    there = "not there" if given is None else f"there {_shape(given)}"
    return f"{_shape(own)} ({there})"
