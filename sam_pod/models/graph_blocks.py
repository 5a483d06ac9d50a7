"""Where a functional model is one tensor wide, and so its residual blocks."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

Key = tuple[int, ...]  # Of a symbolic tensor: ids of the calls around it, and its own.


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of an operation in a model, or in a model that is part of it."""

    node: Any  # Keras'.
    inputs: dict[int, Key]  # By the id of the node's symbolic tensor.
    outputs: tuple[Key, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """Calls of layers that follow each other in a model."""

    calls: tuple[Call, ...]
    inputs: tuple[Key, ...]  # Tensors that it takes from parts before it,
    outputs: tuple[Key, ...]  # and those that parts after it, or the caller, take.
    variables: tuple[keras.Variable, ...]

    @property
    def is_block(self) -> bool:
        """Whether it has branches."""
        return len(self.calls) > 1


@dataclasses.dataclass(frozen=True)
class Parts:
    """A model's calls in order, cut before and after each block."""

    parts: tuple[Part, ...]
    image: Key
    output: Key


def of(model: keras.Model) -> Parts:
    """Return the parts of a model of one input and one output.

    A block is what stands between two places where nothing but one tensor is alive,
    and has branches: in a residual network a shortcut and what goes around it, with
    the layers up to the next fork; in a transformer attention or an MLP, with its sum.
    """
    graph = _graph(model)
    image, names = (id(graph.inputs[0]),), {}
    calls = list(_calls(graph, (), {id(graph.inputs[0]): image}, names))
    output = names[id(graph.outputs[0])]
    pieces, start = [], 0
    for end in _narrow(calls, image, output):
        pieces.append(calls[start : end + 1])
        start = end + 1
    forks = [place for place, piece in enumerate(pieces) if len(piece) > 1]
    joined: list[list[Call]] = []
    for place, piece in enumerate(pieces):
        # What stands between two blocks belongs to the first of them.
        if len(piece) == 1 and forks and forks[0] < place < forks[-1]:
            joined[-1] += piece
        else:
            joined.append(piece)
    parts = tuple(_part(piece, calls, output) for piece in joined)
    return Parts(parts, image, output)


def _graph(model: keras.Model) -> Any:
    return getattr(model, "_functional", None) or model


def _calls(
    graph: Any, around: Key, given: Mapping[int, Key], names: dict[int, Key]
) -> Iterator[Call]:
    """Yield the calls of a graph in order, those of models in it, too.

    Args:
        graph: A functional model.
        around: The ids of the calls that it is within.
        given: The keys of its inputs, by id.
        names: By id the keys of all its tensors, which is filled.
    """
    names |= given
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            inputs = {id(tensor): names[id(tensor)] for tensor in node.input_tensors}
            if _is_inlined(node):
                inner, inside = _graph(node.operation), {}
                source = {id(inner.inputs[0]): inputs[id(node.input_tensors[0])]}
                yield from _calls(inner, (*around, id(node)), source, inside)
                names[id(node.outputs[0])] = inside[id(inner.outputs[0])]
                continue
            outputs = tuple((*around, id(tensor)) for tensor in node.outputs)
            names |= dict(zip(map(id, node.outputs), outputs, strict=True))
            yield Call(node, inputs, outputs)


def _is_inlined(node: Any) -> bool:
    """Return whether a node calls a model whose layers may as well stand here."""
    inner = _graph(node.operation)
    if not hasattr(inner, "_nodes_by_depth"):
        return False
    ends = (node.input_tensors, node.outputs, inner.inputs, inner.outputs)
    if any(len(end) != 1 for end in ends):
        return False
    return node.input_tensors[0].dtype == inner.inputs[0].dtype


def _narrow(calls: Sequence[Call], image: Key, output: Key) -> list[int]:
    """Return after which calls all that is taken still is what they have made."""
    last = {key: place for place, c in enumerate(calls) for key in c.inputs.values()}
    last[output] = len(calls)
    alive, found = {image}, []
    for place, call in enumerate(calls):
        made = set(call.outputs)
        alive = {key for key in alive | made if last.get(key, -1) > place}
        if alive <= made:
            found.append(place)
    return found


def _part(piece: Sequence[Call], calls: Sequence[Call], output: Key) -> Part:
    made = [key for call in piece for key in call.outputs]
    inside = {id(call) for call in piece}
    elsewhere = (call for call in calls if id(call) not in inside)
    taken = {output, *(key for call in elsewhere for key in call.inputs.values())}
    inputs = dict.fromkeys(key for call in piece for key in call.inputs.values())
    variables = {
        id(variable): variable
        for call in piece
        for variable in getattr(call.node.operation, "variables", ())
    }
    return Part(
        calls=tuple(piece),
        inputs=tuple(key for key in inputs if key not in made),
        outputs=tuple(key for key in made if key in taken),
        variables=tuple(variables.values()),
    )
