"""Means over micro-batches have the same bits, whoever else reads what is summed."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from sam_pod import sam
from sam_pod.step import means, optimizers, update_rules
from tests import fixtures

LARS = optimizers.Optimizer(("velocity",), update_rules.lars(0.9, 1e-3, 1e-2))
NUMBERS = [1.0, 1e8, -1e8]
LAMB = optimizers.Optimizer(
    ("first", "second"), update_rules.lamb(0.9, 0.999, 1e-6, 0.01)
)


def mean(parts, *, returned):
    """Return the means in a function that returns so many of the parts, too."""

    @tf.function(autograph=False)
    def function(parts):
        parts = [[tensor * 2.0 for tensor in part] for part in parts]
        return means.of_each(parts), parts[:returned]

    given = [[tf.fill([4], number / 2) for number in part] for part in parts]
    return np.array([tensor.numpy() for tensor in function(given)[0]])


@pytest.mark.parametrize("returned", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 3])
def test_tensors_are_added_in_their_order(count, returned):
    """With 1 + 1e8 the 1 is lost in float32; the other way round it is not."""
    found = mean([[number] * count for number in NUMBERS], returned=returned)
    np.testing.assert_array_equal(found, np.zeros((count, 4)))
    found = mean([[number] * count for number in NUMBERS[::-1]], returned=returned)
    np.testing.assert_array_equal(found, np.full((count, 4), np.float32(1 / 3)))


@pytest.mark.parametrize("returned", [0, 2])
def test_sums_are_not_joined_with_those_that_they_are_of(returned):
    @tf.function(autograph=False)
    def function(big, small):
        big, small = ([t * 2.0 for t in tensors] for tensors in (big, small))
        parts = [[b + s, -(b + s)] for b, s in zip(big, small, strict=True)]
        return means.of_each(parts), big[:returned]

    big = [tf.fill([4], number) for number in (5e7, -5e7)]
    found, _ = function(big, [tf.fill([4], 0.5), tf.fill([4], 0.0)])
    np.testing.assert_array_equal(found, np.zeros((2, 4)))


def sums_in_an_order_that_varies(graph):
    """Return the sums of three or more that begin with what others read as well."""
    bodies = [(graph.node, [])]
    bodies += [(f.node_def, f.ret.values()) for f in graph.library.function]
    return [name for nodes, ends in bodies for name in _varying(nodes, ends)]


def _varying(nodes, ends):
    by_name = {node.name: node for node in nodes}

    def source(name):
        """Return the tensor whose buffer it is."""
        node, _, place = name.partition(":")
        place = place.rpartition(":")[2] or "0"
        found = by_name.get(node)
        if found is None or found.op not in ("Identity", "IdentityN", "Reshape"):
            return node, place
        return source(found.input[int(place) if found.op == "IdentityN" else 0])

    readers = collections.Counter(map(source, ends))
    for node in nodes:
        if not node.op.startswith("Identity"):
            data = node.input[1:] if node.op == "Reshape" else node.input
            readers.update(source(name) for name in data if name[0] != "^")
    for node in nodes:
        if node.op == "AddN" and node.attr["N"].i > 2:
            terms = [source(name) for name in node.input if name[0] != "^"]
            alone = [readers[term] == 1 for term in terms]
            first = terms[: alone.index(True) if any(alone) else None]
            if any(readers[term] > terms.count(term) for term in first):
                yield node.name


def slow(*values):
    """Mark what the others show in part."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("variant", "micro_batches", "sync", "more"),
    [
        slow(sam.gsam.build(), 2, "global", {}),
        (sam.gsam.build(minimizes="clean"), 4, "replica", {}),
        slow(sam.friendly.build(), 4, "replica", {}),
        slow(sam.sam.build(), 4, "norm", {"clip_norm": 1.0, "weight_decay": 1e-3}),
        (sam.looksam.build(2, layerwise="trust"), 4, "global", {}),
        slow(sam.sam.build(), 2, "replica", {"optimizer": LAMB, "clip_norm": 1.0}),
        (sam.sam.build(), 1, "global", {"optimizer": LARS}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_no_sum_of_a_step_varies(variant, micro_batches, sync, more):
    net = fixtures.small_model(norm=False)
    recipe = fixtures.small_recipe(
        *(net,), variant=variant, micro_batches=micro_batches, sync=sync, **more
    )
    context.enable_run_metadata()
    try:
        fixtures.train(fixtures.mirrored(2), recipe, fixtures.batches(2, 16))
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    found = [graph.post_optimization_graph for graph in graphs]
    assert any(node.op == "AddN" for graph in found for node in graph.node)
    varying = {name for graph in found for name in sums_in_an_order_that_varies(graph)}
    assert not varying
