"""Small networks of every family go where resnet20 goes."""

import functools
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.export import plain_keras
from sam_pod.models import (
    network,
    pyramidnet,
    resnet_cifar,
    resnet_imagenet,
    shake_shake,
    vit,
    wide_resnet,
)
from tests import fixtures
from tests.models import numpy_layers

SHAPE = (8, 8, 3)


def imagenet(*args):
    """Build five blocks: those of 50 layers differ in number alone."""
    with mock.patch.dict(resnet_imagenet._BLOCKS, {50: (2, 1, 1, 1)}):
        return resnet_imagenet.build(*args, depth=50, width=2)


FAMILIES = {
    "he": functools.partial(resnet_cifar.build_he, depth=8),
    "resnet18": functools.partial(resnet_cifar.build_18, width=4),
    "wide": functools.partial(wide_resnet.build, depth=10, width=1),
    "projection": functools.partial(
        wide_resnet.build, depth=10, width=1, shortcut="projection"
    ),
    "no norm": functools.partial(
        wide_resnet.build, depth=10, width=1, normalization="none"
    ),
    "imagenet": imagenet,
    "vit": functools.partial(vit.build, width=8, heads=2, patch=4, depth=1),
    "shake shake": functools.partial(shake_shake.build, width=4, blocks=1),
    "pyramid": functools.partial(
        pyramidnet.build, depth=11, alpha=5, has_bottlenecks=True
    ),
    "basic pyramid": functools.partial(
        pyramidnet.build, depth=8, alpha=5, has_bottlenecks=False
    ),
}
QUICK = ("projection", "vit", "pyramid")


def logits(model, x):
    return np.asarray(model(x, training=False))


# One of each file is quick.
@pytest.mark.parametrize(
    "family",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in FAMILIES
    ],
)
def test_in_bfloat16_and_as_an_exported_file_it_gives_what_it_gives(family, tmp_path):
    model = numpy_layers.filled(FAMILIES[family](SHAPE, 5, "float32"))
    x = numpy_layers.images()
    expected = logits(model, x)
    half = FAMILIES[family](SHAPE, 5, "mixed_bfloat16")
    half.set_weights(model.get_weights())
    assert {v.dtype for v in half.trainable_variables} == {"float32"}
    found = half(x, training=False)
    assert found.dtype == tf.float32
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=0.05)
    assert np.abs(found - expected).max() > 0

    plain_keras.save(model, str(tmp_path / "model.keras"))
    opened = keras.models.load_model(tmp_path / "model.keras")
    modules = {type(layer).__module__.partition(".")[0] for layer in opened.layers}
    assert modules == {"keras"}
    np.testing.assert_allclose(logits(opened, x), expected, rtol=1e-5, atol=1e-6)


# One of each kind of layer: BatchNorm and a plain sum, attention, gates of either kind.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "dtype_policy"),
    [
        ("projection", "float32"),
        ("vit", "float32"),
        ("shake shake", "float32"),
        ("pyramid", "float32"),
        ("vit", "mixed_bfloat16"),
        ("pyramid", "mixed_bfloat16"),
    ],
)
def test_two_replicas_that_ascend_apart_are_one_with_two_micro_batches(
    family, dtype_policy
):
    """Each with BatchNorm's statistics of its own examples, and gates of their rows."""
    ends = []
    for count, parts in ((1, 2), (2, 1)):
        keras.utils.set_random_seed(0)
        net = network.Network(FAMILIES[family](SHAPE, 5, dtype_policy))
        one = tf.distribute.OneDeviceStrategy("/cpu:0")
        recipe = fixtures.small_recipe(net, sync="replica", micro_batches=parts)
        state, rows = fixtures.train(
            fixtures.mirrored(count) if count > 1 else one,
            recipe,
            fixtures.batches(1, 16, SHAPE),
        )
        assert np.isfinite(rows).all()
        ends.append(np.concatenate([np.ravel(w.numpy()) for w in state.weights]))
    start = np.concatenate([np.ravel(w) for w in net.initial_weights().values()])
    # BatchNorm of few values makes more of a rounding: this is how far, not where.
    moved = np.linalg.norm(ends[0] - start)
    tolerance = 1e-3 if dtype_policy == "float32" else 0.1
    assert np.linalg.norm(ends[1] - ends[0]) < tolerance * moved
    assert moved > 1e-3
