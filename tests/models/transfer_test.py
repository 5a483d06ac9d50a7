"""Weights by name: what fits is taken, and positions on another grid."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.models import head, network, position_grid, table, transfer, vit
from tests import fixtures


def values_of(net):
    return transfer.variables(net.model)


@functools.cache
def residual(classes, seed=0):
    return table.build("resnet20_he", (8, 8, 3), classes, seed=seed)


def small_vit(side, classes=5, patch=4):
    return network.Network(
        vit.build(
            (*side, 3), classes, "float32", width=8, heads=2, patch=patch, depth=1
        )
    )


def test_all_but_the_head_of_other_classes_is_taken():
    old, new = residual(10, 1), table.build("resnet20_he", (8, 8, 3), 4)
    given, before = values_of(old), values_of(new)
    found = transfer.fit(new, given, (8, 8, 3))
    transfer.give(new, found.values)
    for name, value in values_of(new).items():
        expected = before if name.startswith("dense/") else given
        np.testing.assert_array_equal(value, expected[name])
    assert found.is_head_alone and not found.unused
    assert found.new == {
        "dense/kernel": ((64, 4), (64, 10)),
        "dense/bias": ((4,), (10,)),
    }
    assert found.taken_parameters == found.parameters - 64 * 4 - 4
    assert "new dense/kernel [64, 4] (there [64, 10]), dense/bias [4]" in found.line()


def test_a_head_that_fits_is_taken():
    found = transfer.fit(residual(10), values_of(residual(10, 1)), (8, 8, 3))
    assert not found.new and found.taken_parameters == found.parameters
    assert "none is new" in found.line()


def test_a_layer_below_the_head_that_is_new_is_known_as_one():
    given = values_of(residual(10, 1))
    del given["conv2d_3/kernel"]
    found = transfer.fit(residual(10), given, (8, 8, 3))
    assert not found.is_head_alone
    assert "conv2d_3/kernel [3, 3, 16, 16] (not there)" in found.line()


def test_what_fits_nothing_is_told_by_names_and_shapes():
    given = {"conv2d/kernel": np.zeros((7, 7, 3, 64)), "other/kernel": np.zeros((2,))}
    found = transfer.fit(residual(10), given, (8, 8, 3))
    assert found.taken_parameters == 0
    words = found.mismatches()
    assert words.endswith("conv2d/kernel [3, 3, 3, 16] (there [7, 7, 3, 64])")
    found = transfer.fit(residual(10), {"other/kernel": np.zeros((2,))}, (8, 8, 3))
    assert "there is other/kernel [2]" in found.mismatches()


def test_layers_that_keras_counted_on_are_counted_from_the_first():
    first, later = (fixtures.small_model().model for _ in range(2))
    assert first.layers[1].name != later.layers[1].name
    names = list(transfer.variables(later))
    assert names == list(transfer.variables(first))
    assert names[0] == "conv2d/kernel" and names[-1].startswith("fused_batch_")


def test_a_name_of_ones_own_is_not_counted():
    images = keras.Input((4,))
    x = keras.layers.Dense(3, name="dense_7")(images)
    x = keras.layers.Dense(3, name="block_2")(x)
    model = keras.Model(images, keras.layers.Dense(2, name="dense_9")(x))
    names = {name.partition("/")[0] for name in transfer.variables(model)}
    assert names == {"dense", "block_2", "dense_2"}


def dense_layers(*names):
    """Return a network whose layers have these names, the last one of 2 units."""
    images = keras.Input((4, 4, 1))
    x = keras.layers.Flatten()(images)
    for name in names:
        x = keras.layers.Dense(2 if name == names[-1] else 16, name=name)(x)
    return network.Network(keras.Model(images, x))


def test_names_that_are_there_are_taken_though_they_do_not_begin_at_the_first():
    """As of a model that was cut at its front."""
    whole = dense_layers("dense", "dense_1", "dense_2", "dense_3")
    given = {n: v + 1 for n, v in values_of(whole).items()}
    cut = dense_layers("dense_1", "dense_2", "dense_3")
    found = transfer.fit(cut, given, (4, 4, 1))
    assert not found.new and list(found.unused) == ["dense/kernel", "dense/bias"]
    transfer.give(cut, found.values)
    taken = dict(cut.initial_weights())
    assert {name.partition("/")[0] for name in taken} == {
        *("dense_1", "dense_2", "dense_3")
    }
    for name, value in taken.items():
        np.testing.assert_array_equal(value, given[name])


def test_names_go_before_counting_where_as_many_fit():
    """The front was cut, and a head of other classes is new."""
    whole = dense_layers("dense", "dense_1", "dense_2", "dense_3", "dense_4", "head")
    given = {n: v + 1 for n, v in values_of(whole).items()}
    cut = dense_layers("dense_2", "dense_3", "dense_4", "dense_7")
    found = transfer.fit(cut, given, (4, 4, 1))
    transfer.give(cut, found.values)
    for name, value in cut.initial_weights().items():
        if not name.startswith("dense_7/"):
            np.testing.assert_array_equal(value, given[name])
    assert {name.partition("/")[0] for name in found.unused} == {
        *("dense", "dense_1", "head")
    }


def test_layers_around_a_variable_may_be_on_one_side_alone():
    given = {f"base/{n}": v for n, v in values_of(residual(10, 1)).items()}
    found = transfer.fit(residual(10), given, (8, 8, 3))
    assert not found.new and not found.unused
    given["more/dense/bias"] = given["base/dense/bias"]
    found = transfer.fit(residual(10), given, (8, 8, 3))
    assert list(found.new) == ["dense/bias"]


def test_what_could_be_of_two_variables_is_of_none():
    def part(name):
        images = keras.Input((4, 4, 3))
        return keras.Model(
            images, keras.layers.Conv2D(3, 1, name="conv")(images), name=name
        )

    images = keras.Input((4, 4, 3))
    both = network.Network(
        keras.Model(images, part(name="right")(part(name="left")(images)))
    )
    given = {"conv/kernel": np.ones((1, 1, 3, 3)), "left/conv/bias": np.ones(3)}
    assert list(transfer.fit(both, given, (4, 4, 3)).values) == ["left/conv/bias"]


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 0), (0, 2)])
def test_layers_of_a_checkpoint_are_counted_from_its_first(before, after):
    """Layers of one shape would be taken one too early, or too late."""

    def stack(count):
        keras.utils.clear_session()
        for _ in range(count):
            keras.layers.Dense(3), keras.layers.BatchNormalization()
            keras.Sequential([])
        images, layers = keras.Input((3,)), []
        for number in range(3):
            layers += [keras.layers.Dense(3), keras.layers.BatchNormalization()]
            if number == 1:
                layers.append(keras.layers.Dense(3, name="block_4"))
        model = keras.Sequential([images, *layers, keras.layers.Dense(2)])
        return network.Network(model)

    old, new = stack(before), stack(after)
    # As a checkpoint has them, which does not know the layers.
    given = {
        name: np.full_like(value, number)
        for number, part in enumerate((old.initial_weights(), old.initial_stats()))
        for number, (name, value) in enumerate(part.items(), 100 * number)
    }
    found = transfer.fit(new, given, (3, 1, 1))
    assert not found.new and not found.unused
    transfer.give(new, found.values)
    values = [*new.initial_weights().values(), *new.initial_stats().values()]
    for value, expected in zip(values, given.values(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("side", [(24, 24), (16, 32), (8, 8)])
def test_positions_are_resized_as_tensorflow_does_with_corners_on_corners(side):
    """The first code of arXiv 2010.11929 calls SciPy; this is another's."""
    old, new = small_vit((16, 16)), small_vit(side)
    given = values_of(old)
    found = transfer.fit(new, given, (*side, 3))
    assert not found.new
    rows, columns = side[0] // 4, side[1] // 4
    grid = given["positions/alpha"].reshape(1, 4, 4, 8)
    expected = tf.compat.v1.image.resize_bilinear(
        grid, (rows, columns), align_corners=True
    )
    np.testing.assert_allclose(
        found.values["positions/alpha"],
        expected.numpy().reshape(rows * columns, 8),
        atol=1e-6,
    )
    assert f"positions/alpha from 4 x 4 to {rows} x {columns}" in found.line()


@pytest.mark.parametrize(("old", "new"), [((16, 16), (8, 32)), ((8, 32), (32, 32))])
def test_positions_are_on_the_grid_of_the_images_that_they_were_learned_with(old, new):
    given = values_of(small_vit(old))
    shapes = (*new, 3), (*old, 3)
    found = transfer.fit(small_vit(new), given, *shapes)
    assert "from {} x {} to {} x {} ".format(*(x // 4 for x in old + new)) in (
        found.line()
    )
    columns = given["positions/alpha"].reshape(old[0] // 4, old[1] // 4, 8)
    grid = found.values["positions/alpha"].reshape(new[0] // 4, new[1] // 4, 8)
    np.testing.assert_array_equal(grid[0, 0], columns[0, 0])
    np.testing.assert_array_equal(grid[0, -1], columns[0, -1])
    np.testing.assert_array_equal(grid[-1, 0], columns[-1, 0])


def test_positions_that_are_no_square_are_not_taken():
    assert position_grid.resized(np.zeros((12, 8)), (16, 8), (16, 16, 3)) is None
    assert position_grid.resized(np.zeros((9, 4)), (16, 8), (16, 16, 3)) is None


def test_the_head_is_the_last_layer_with_weights_wherever_it_stands():
    images = keras.Input((6, 6, 3))
    inner = [keras.layers.Flatten(), keras.layers.Dense(4, name="a")]
    inner = keras.Sequential(inner, name="inner")
    outer = keras.Model(images, keras.layers.Activation("linear")(inner(images)))
    assert head.names(outer) == ["inner/a/kernel", "inner/a/bias"]
    both = keras.layers.Add()([keras.layers.Dense(2)(outer.output) for _ in range(2)])
    assert head.of(keras.Model(images, both)) is None
