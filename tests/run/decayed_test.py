"""Which weights decay: by what they are in their layers, and alike when continued."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.config import keys as config_lib
from sam_pod.models import network as network_lib
from sam_pod.models import resnet20, variable_names, vit
from sam_pod.run import decayed
from sam_pod.step import optimizers

RATE, DECAY = 0.5, 0.1


@functools.cache
def transformer():
    keras.utils.set_random_seed(0)
    return network_lib.Network(
        vit.build((8, 8, 3), 5, "float32", width=8, heads=2, patch=4, depth=1)
    )


def names():
    model = transformer().model
    return variable_names.of(model, model.trainable_variables)


def test_kernels_of_a_transformer_decay_and_nothing_else_of_two_axes():
    """As big_vision's mask '.*/kernel$' has them; its heads' biases have two axes."""
    chosen = decayed.choose(transformer())
    assert chosen == tuple(name.endswith("kernel") for name in names())
    by_axes = [len(v.shape) > 1 for v in transformer().model.trainable_variables]
    spared = [
        name.rpartition("/")[2]
        for name, is_chosen, has_axes in zip(names(), chosen, by_axes, strict=True)
        if has_axes and not is_chosen
    ]
    assert sorted(spared) == ["alpha", "bias", "bias", "bias"]


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lars", "lamb"])
def test_only_kernels_shrink_where_there_is_no_gradient(name):
    config = config_lib.defaults()
    config.optimizer.update(name=name, weight_decay=DECAY, momentum=0.0)
    if name in ("adam", "sgd"):
        config.optimizer.decays_in = "decoupled"
    chosen = decayed.choose(transformer())
    optimizer = optimizers.build(config, chosen)
    # Not zeros: LARS takes no share of them.
    weights = [tf.ones(v.shape) for v in transformer().model.trainable_variables]
    zeros = [tf.zeros_like(w) for w in weights]
    slots = dict.fromkeys(optimizer.slot_names, zeros)
    new, _ = optimizer.update(
        zeros, slots, weights, tf.constant(0, tf.int64), tf.constant(RATE)
    )
    for weight, is_chosen in zip(new, chosen, strict=True):
        assert bool(np.all(weight < 1)) == is_chosen
        assert bool(np.all(weight == 1)) != is_chosen


def test_the_l2_of_the_loss_is_of_these_kernels():
    chosen = decayed.choose(transformer())
    weights = [tf.ones(v.shape) for v in transformer().model.trainable_variables]
    count = sum(tf.size(w).numpy() for w, c in zip(weights, chosen, strict=True) if c)
    found = optimizers.l2_penalty(weights, DECAY, kernels=chosen)
    assert float(found) == pytest.approx(0.5 * DECAY * count)


def test_a_run_goes_on_as_it_began(caplog):
    """One of a version that went by axes does so to its end, and says nothing."""
    by_axes = tuple(len(v.shape) > 1 for v in transformer().model.trainable_variables)
    with caplog.at_level("INFO"):
        assert decayed.choose(transformer(), {"data.channels": 0}) == by_axes
    assert not caplog.messages
    assert not decayed.decision(transformer(), by_axes)
    with caplog.at_level("INFO"):
        chosen = decayed.choose(transformer())
    assert len(caplog.messages) == 1 and "positions do not" in caplog.messages[0]
    stored = decayed.decision(transformer(), chosen)
    assert decayed.choose(transformer(), stored) == chosen != by_axes


def test_where_axes_say_the_same_nothing_is_decided(caplog):
    net = network_lib.Network(resnet20.build((8, 8, 3), 4, "float32"))
    with caplog.at_level("INFO"):
        chosen = decayed.choose(net)
    assert chosen == decayed.choose(net, {})
    assert not decayed.decision(net, chosen)
    assert not caplog.messages


def test_slopes_do_not_decay_whatever_their_axes():
    images = keras.Input((4, 4, 3))
    x = keras.layers.PReLU(shared_axes=[1, 2])(keras.layers.Conv2D(4, 3)(images))
    x = keras.layers.PReLU()(keras.layers.Dense(7)(keras.layers.Flatten()(x)))
    net = network_lib.Network(keras.Model(images, x))
    by_kind = dict(zip(net.initial_weights(), decayed.choose(net), strict=True))
    assert [n.split("/")[-1] for n, decays in by_kind.items() if decays] == [
        "kernel"
    ] * 2
