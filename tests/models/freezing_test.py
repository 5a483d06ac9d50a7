"""Frozen layers are statistics that nothing moves."""

import keras
import numpy as np
import pytest

from sam_pod import errors
from sam_pod.models import batch_norm, freezing, layer_names, network


def model():
    images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3)(images)
    x = batch_norm.FusedBatchNormalization()(x)
    x = keras.layers.Conv2D(4, 3, name="own_name")(keras.layers.ReLU()(x))
    inner = [keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(3)]
    inner = keras.Sequential([keras.Input((2, 2, 4)), *inner], name="inner")
    return keras.Model(images, keras.layers.Dense(2, name="last")(inner(x)))


def trains(patterns, *, norms=False):
    """Return (the count, the layers that train still, by kind of variable)."""
    built = model()
    count = freezing.freeze(built, patterns, batch_norm=norms)
    names = list(network.Network(built).initial_weights())
    names = layer_names.of_variables(built, names)
    return count, {name.rpartition("/")[0].rpartition("/")[2] for name in names}


NORM = "fused_batch_normalization"


@pytest.mark.parametrize(
    ("patterns", "norms", "left"),
    [
        ("conv2d", False, {NORM, "own_name", "dense", "dense_1", "last"}),
        ("conv2d, own_*,", False, {NORM, "dense", "dense_1", "last"}),
        ("dense_?", False, {"conv2d", NORM, "own_name", "dense", "last"}),
        ("inner", False, {"conv2d", NORM, "own_name", "last"}),
        ("body", False, {"last"}),
        ("", True, {"conv2d", "own_name", "dense", "dense_1", "last"}),
        ("last", True, {"conv2d", "own_name", "dense", "dense_1"}),
    ],
)
def test_layers_are_frozen_by_name_wherever_they_stand(patterns, norms, left):
    """`dense` and `dense_1` are so called whatever was made before."""
    count, found = trains(patterns, norms=norms)
    assert found == left
    assert count == 6 - len(left) + ("inner" in patterns or patterns == "body")


def test_a_frozen_batch_norm_infers_while_it_trains():
    built = model()
    freezing.freeze(built, "", batch_norm=True)
    net = network.Network(built)
    assert not net.has_batch_norm
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype(np.float32)
    weights, stats = net.initial_weights(), net.initial_stats()
    stats = [value + 0.5 for value in stats.values()]
    calls = [
        net.apply(list(weights.values()), stats, images, key=key)
        for key in (None, np.zeros([2], np.int32))
    ]
    np.testing.assert_array_equal(calls[0].logits, calls[1].logits)
    for old, new in zip(stats, calls[1].stats, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("patterns", "norms", "words"),
    [
        ("conv3d", False, "has 'conv3d', which is no layer.*the nearest is 'conv2d'"),
        ("block*", False, r"has 'block\*', which is no layer.*it has conv2d"),
        ("re_lu", False, "no layer with weights"),
        ("*", False, "leaves nothing that trains"),
        (", ,", False, "names no layer"),
        ("conv2[d]", False, r"'conv2\[d\]', which is no layer"),  # No set of letters.
    ],
)
def test_what_freezes_nothing_or_all_is_refused(patterns, norms, words):
    with pytest.raises(errors.UserError, match=words):
        freezing.freeze(model(), patterns, batch_norm=norms)


def test_a_model_without_batch_norm_cannot_freeze_it():
    images = keras.Input((4,))
    plain = keras.Model(images, keras.layers.Dense(2)(images))
    with pytest.raises(errors.UserError, match="has no BatchNorm"):
        freezing.freeze(plain, "", batch_norm=True)


def test_a_layer_is_called_as_it_is_though_the_first_is_not_numbered_so():
    """As in a file of a model that was cut at its front."""
    images = keras.Input((4,))
    x = images
    for number in (1, 2, 3):
        x = keras.layers.Dense(4, name=f"dense_{number}")(x)
    model = keras.Model(images, x)
    for name in ("dense_1", "dense_3"):
        assert freezing.freeze(model, name, batch_norm=False, is_of_file=True) > 0
        assert not model.get_layer(name).trainable
    assert model.get_layer("dense_2").trainable
