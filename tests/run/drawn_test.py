"""A run draws noise as it did when it began."""

import json

import keras
import numpy as np
import tensorflow as tf

from sam_pod.models import dropout, network
from sam_pod.run import drawn
from tests import fixtures, runs, training


def masks(net, first):
    return net.apply(
        *([], [], tf.ones([4, 6, 6, 3])),
        key=tf.constant([1, 2]),
        rows=dropout.Rows(first, 4),
    ).logits.numpy()


def test_what_began_by_row_goes_on_so_and_what_did_not_does_not():
    images = keras.Input((6, 6, 3))
    net = network.Network(keras.Model(images, keras.layers.Dropout(0.5)(images)))
    whole = masks(net, 0)
    assert drawn.decision(net, None) == {drawn.KEY: drawn.BY_ROW}
    assert drawn.decision(net, {}) == {}
    for stored in (None, {drawn.KEY: drawn.BY_ROW}):
        drawn.choose(net, stored)
        assert not net.draws_by_batch
        np.testing.assert_array_equal(masks(net, 0), whole)
    drawn.choose(net, {"data.channels": 1})
    assert net.draws_by_batch
    assert not np.array_equal(masks(net, 0), whole)
    assert drawn.decision(fixtures.small_model(dropout=0), None) == {}


def test_a_run_keeps_how_it_draws(tmp_path):
    config = runs.small_config(tmp_path, num_epochs=1)
    training.run(config, tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "decisions.json").read_text())
    assert kept[drawn.KEY] == drawn.BY_ROW
