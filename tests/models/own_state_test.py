"""Models with layers of a user's own that are all in their file, or not."""

import keras
import numpy as np
import pytest

from sam_pod import errors
from sam_pod.models import own_code, own_state, table
from tests.models.own_layers import SHAPE, as_new, forget, save

__all__ = ["forget"]  # A fixture of every test here.

VALID = """
import keras, tensorflow as tf

@keras.saving.register_keras_serializable("mine")
class OwnValid(keras.layers.Layer):
    def build(self, shape):
        self.seen = self.add_weight(shape=(), name="seen", trainable=False)
    def call(self, x, training=None):
        self.seen.assign(0.5 * self.seen + 0.5)  # Where it is used as well.
        {lines}
        return x
"""


def adapted(own):
    norm = keras.layers.Normalization()
    norm.adapt(np.arange(1000.0).reshape(10, 10, 10, 1).repeat(3, -1))
    return lambda x: own(norm(x))


def in_bfloat16(own):
    own.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    return lambda x: keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16")(own(x))


def test_a_model_that_cannot_be_saved_again_is_trained(tmp_path):
    path = tmp_path / "own_valid.py"
    path.write_text(VALID.format(lines="pass"))
    model = save(tmp_path, own_code.load(str(path))["OwnValid"]())
    as_new()
    once = "def get_config(self):\n        raise NotImplementedError('once')"
    path.write_text(path.read_text() + f"    {once}\n")
    assert table.build(model, SHAPE, 5, trusted_modules=str(path))


def test_a_model_that_comes_back_with_other_variables_is_refused(tmp_path):
    path = tmp_path / "own_valid.py"
    path.write_text(VALID.format(lines="pass"))
    own = own_code.load(str(path))["OwnValid"]()
    model = keras.models.load_model(save(tmp_path, own))
    with pytest.raises(errors.UserError, match="has 3 variables, and 2 when it is"):
        own_state.check(
            *("m.keras", model, SHAPE),
            lambda content: keras.Sequential([keras.Input((3,)), model.layers[-1]]),
        )


@pytest.mark.parametrize(
    ("lines", "around"),
    [
        ("pass", adapted),
        ("pass", in_bfloat16),
        # Has no gradient, and needs none before the first weights.
        ("x = tf.image.resize(x, (4, 4), method='area')", lambda own: own),
        ("x = keras.ops.matmul(x, self.seen * keras.ops.eye(3))", lambda own: own),
    ],
)
def test_a_model_that_loses_nothing_is_trained_from_its_values(lines, around, tmp_path):
    path = tmp_path / "own_valid.py"
    path.write_text(VALID.format(lines=lines))
    own = own_code.load(str(path))["OwnValid"]()
    policy = "mixed_bfloat16" if around is in_bfloat16 else "float32"
    keras.config.set_dtype_policy(policy)
    try:
        model = save(tmp_path, around(own))
    finally:
        keras.config.set_dtype_policy("float32")
    saved = [v.numpy() for v in keras.models.load_model(model).variables]
    as_new()
    for dtype in ("float32", "bfloat16"):
        net = table.build(model, SHAPE, 5, dtype=dtype, trusted_modules=str(path))
        for variable, value in zip(net.model.variables, saved, strict=True):
            np.testing.assert_array_equal(variable, value)
