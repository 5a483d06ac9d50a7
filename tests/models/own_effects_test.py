"""Layers of a user's own: what a step or a file would lose of them is refused."""

import keras
import pytest

from sam_pod import errors
from sam_pod.models import own_code, table
from tests.models.own_layers import SHAPE, as_new, forget, save

__all__ = ["forget"]  # A fixture of every test here.

EFFECTS = """
import keras, tensorflow as tf

class Kept(keras.layers.Layer):
    def build(self, shape):
        self.seeds = keras.random.SeedGenerator(1)
        self.calls = self.add_weight(shape=(), trainable=False)

class {name}(Kept):
    def call(self, x, training=False):
        {body}
"""
# What a layer does when it trains, and what is said of it.
EFFECTS_SAID = {
    "Drawn": ("x += tf.random.normal(tf.shape(x))", r"random_normal/.*SeedGenerator"),
    "Always": ("training = True; x += tf.random.uniform(tf.shape(x))", "two gradients"),
    "Unseeded": ("x += keras.random.normal(x.shape)", "seed of Keras .*SeedGenerator"),
    "Outside": ("OUTSIDE.assign(1.0)", r"outside, which is none of .*add_weight"),
    "Written": ("self.w.assign(self.w / 2.0)", r"writes its weight .*/w when"),
    "Asking": (
        "x = x if bool(tf.size(x) > 0) else -x",
        "cannot be compiled, as a step",
    ),
    "Seeded": ("x += keras.random.normal(x.shape, seed=self.seeds)", None),
    "Counting": ("self.calls.assign(self.calls + 1.0)", None),
}


@pytest.mark.parametrize("name", EFFECTS_SAID)
def test_a_layer_that_writes_or_draws_where_a_step_does_not_look(name, tmp_path):
    body, said = EFFECTS_SAID[name]
    lines = f"if training or {name == 'Always'}: {body}", "return x"
    source = EFFECTS.format(name=name, body="\n        ".join(lines))
    source = source.replace(
        "class Kept", "OUTSIDE = keras.Variable(0.0, name='outside')\nclass Kept"
    )
    source = source.replace(
        "trainable=False)",
        "trainable=False)\n        self.w = self.add_weight(name='w')",
    )
    path = tmp_path / f"own_{name.lower()}.py"
    path.write_text(source)
    model = save(tmp_path, own_code.load(str(path))[name]())
    as_new()

    def build():
        return table.build(model, SHAPE, 5, trusted_modules=str(path))

    if said is None:
        assert build()
    else:
        with pytest.raises(errors.UserError, match=said) as raised:
            build()
        assert "\n" not in str(raised.value)


ELSEWHERE = """
import keras, numpy as np, tensorflow as tf

class Box:
    def __init__(self, held):
        self.held = held

class {name}(keras.layers.Layer):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        {made}
    def call(self, x, training=None):
        return {given}
"""
TIMES_W = "x * self.w"
# What a layer makes, what it gives, and what is said of it.
ELSEWHERE_SAID = {
    "TfVariable": ("self.w = tf.Variable([2.0])", TIMES_W, "uses the variable .*Vari"),
    "Boxed": ("self.w = Box(keras.Variable(2.0))", "x * self.w.held", "none of the mo"),
    "Generator": (
        "self.w = tf.random.Generator.from_seed(1)",
        "x + self.w.normal([8, 8, 3])",
        "uses the variable .*SeedGenerator",
    ),
    "Python": (
        "pass",
        "keras.ops.reshape(tf.numpy_function(np.abs, [x], tf.float32), (-1, 8, 8, 3))",
        "runs Python code",
    ),
    "Noise": ("pass", "x + np.random.normal(size=3).astype('f')", "values in Python"),
    "Count": (
        "self.n = 0",
        "x * float(self.__dict__.update(n=self.n + 1) or self.n)",
        "values in Python",
    ),
    "Random": ("self.n = np.random.normal()", "x * self.n", "answers otherwise"),
    "Nested": (
        "self.w = [[keras.layers.LayerNormalization(name='inner')]]",
        "self.w[0][0](x)",
        "does not hold nested.*/inner/gamma",
    ),
    "Listed": (
        "self.w = [keras.layers.Dense(3), keras.layers.Dropout(0.5)]",
        "self.w[1](self.w[0](x), training=training)",
        None,
    ),
    "Seeds": (
        "self.w = [keras.random.SeedGenerator(3)]",
        "x + keras.random.normal((8, 8, 3), seed=self.w[0])",
        None,
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE_SAID)
def test_what_a_step_or_a_file_would_lose_is_refused(name, tmp_path):
    made, given, said = ELSEWHERE_SAID[name]
    path = tmp_path / f"own_{name.lower()}.py"
    path.write_text(ELSEWHERE.format(name=name, made=made, given=given))
    # A head of zeros, as for another task, hides nothing.
    model = save(tmp_path, own_code.load(str(path))[name](), head="zeros")
    as_new()
    if said is None:
        assert table.build(model, SHAPE, 5, trusted_modules=str(path))
        return
    with pytest.raises(errors.UserError, match=said) as raised:
        table.build(model, SHAPE, 5, trusted_modules=str(path))
    assert "\n" not in str(raised.value)


FUNCTIONS = """
import keras, numpy as np, tensorflow as tf

@keras.saving.register_keras_serializable("mine")
def activation(x):
    return x {does}

@keras.saving.register_keras_serializable("mine")
class Penalty(keras.regularizers.Regularizer):
    def __call__(self, x):
        return keras.ops.sum(keras.ops.square(x {does}))
    def get_config(self):
        return {{}}

@keras.saving.register_keras_serializable("mine")
class OwnModel(keras.Model):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs {does}, training=training, mask=mask)
"""


@pytest.mark.parametrize("where", ["activation", "regularizer", "model"])
@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("+ tf.random.normal(tf.shape({x}))", "two gradients"),
        ("+ np.random.normal()", "values in Python"),
        ("* 2.0", None),
    ],
)
def test_functions_and_models_of_ones_own_are_looked_at_too(
    where, does, said, tmp_path
):
    path = tmp_path / "own_functions.py"
    name = {"activation": "x", "regularizer": "x", "model": "inputs"}[where]
    lines = FUNCTIONS.split("{does}")
    mine = ["activation", "regularizer", "model"].index(where)
    parts = [does.replace("{x}", name) if i == mine else "" for i in range(3)]
    text = "".join(a + b for a, b in zip(lines, [*parts, ""], strict=True))
    path.write_text(text.replace("{{}}", "{}"))
    module = own_code.load(str(path))
    images = keras.Input(SHAPE)
    layer = keras.layers.Dense(
        5,
        activation=module["activation"] if where == "activation" else None,
        kernel_regularizer=module["Penalty"]() if where == "regularizer" else None,
    )
    outputs = keras.layers.Dense(5)(layer(keras.layers.Flatten()(images)))
    of = module["OwnModel"] if where == "model" else keras.Model
    of(images, outputs).save(tmp_path / "m.keras")
    as_new()

    def build():
        return table.build(
            str(tmp_path / "m.keras"), SHAPE, 5, trusted_modules=str(path)
        )

    if said is None:
        assert build()
    else:
        with pytest.raises(errors.UserError, match=said):
            build()
