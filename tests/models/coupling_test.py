"""Layers of a user's own that see the batch, and keep what they have seen."""

import keras
import pytest

from sam_pod import errors
from sam_pod.models import own_code, table
from tests.models.own_layers import SHAPE, as_new, forget, save

__all__ = ["forget"]  # A fixture of every test here.

COUPLED = """
import keras

class Apart(keras.layers.Layer):
    def call(self, x, training=None):
        return x - keras.ops.mean(x, axis=-1, keepdims=True)

class Centred(keras.layers.Layer):
    def call(self, x, training=None):
        return x - keras.ops.mean(x, axis=0) if training else x

class Stopped(keras.layers.Layer):
    def call(self, x, training=None):
        mean = keras.ops.stop_gradient(keras.ops.mean(x, axis=0))
        return x - mean if training else x
"""


@pytest.mark.parametrize(
    ("norms", "head"), [(False, "zeros"), (True, "glorot_uniform")]
)
@pytest.mark.parametrize("name", ["Apart", "Centred", "Stopped"])
def test_a_layer_that_sees_the_batch_counts_as_one_that_normalizes(
    name, norms, head, tmp_path
):
    path = tmp_path / "own_coupled.py"
    path.write_text(COUPLED)
    own = own_code.load(str(path))[name]()
    norm = keras.layers.BatchNormalization()
    model = save(tmp_path, (lambda x: norm(own(x))) if norms else own, head=head)
    as_new()

    def build(**arguments):
        return table.build(model, SHAPE, 5, trusted_modules=str(path), **arguments)

    net = build()
    assert net.couples_examples == (name != "Apart")
    assert net.has_batch_norm == (norms or name != "Apart")
    assert net.again(recomputes=False).has_batch_norm == net.has_batch_norm
    if name != "Apart":
        with pytest.raises(errors.UserError, match="lets the examples of a batch see"):
            build(batch_norm_average=lambda values: values)
    else:
        assert build(batch_norm_average=lambda values: values)


KEPT = """
import keras, tensorflow as tf

class {name}(keras.layers.Layer):
    def build(self, shape):
        self.kept = self.add_weight(shape=(), dtype="{kind}", trainable=False)
    def call(self, x, training=None):
        if training:
            self.kept.assign({value})
        return x
"""
KEPT_SAID = {
    "Calls": ("int32", "self.kept + 1", True),
    "Bright": ("bool", "keras.ops.mean(x) > 0.4999", False),
    "Examples": ("int64", "self.kept + keras.ops.cast(tf.shape(x)[0], 'int64')", False),
    "Mean": ("float32", "keras.ops.mean(x)", True),
}


@pytest.mark.parametrize("name", KEPT_SAID)
def test_what_depends_on_the_batch_is_kept_in_floating_weights(name, tmp_path):
    kind, value, is_right = KEPT_SAID[name]
    path = tmp_path / "own_kept.py"
    path.write_text(KEPT.format(name=name, kind=kind, value=value))
    model = save(tmp_path, own_code.load(str(path))[name]())
    as_new()
    if is_right:
        assert table.build(model, SHAPE, 5, trusted_modules=str(path))
        return
    with pytest.raises(errors.UserError, match=rf"/variable\S*, which is {kind}, what"):
        table.build(model, SHAPE, 5, trusted_modules=str(path))
