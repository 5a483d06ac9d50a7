"""Layers of a user's own: what a step or a file would lose of them is refused."""

import keras
import numpy as np
import pytest

from sam_pod import errors
from sam_pod.models import own_code, own_state, table
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


TRAINS = """
import keras

@keras.saving.register_keras_serializable("mine")
class OwnTrains(keras.Model):
    def {method}(self, *arguments, **others):
        raise AssertionError
"""


@pytest.mark.parametrize("method", ["train_step", "compute_loss", "summary"])
def test_a_models_own_way_to_train_is_said_not_to_be_used(method, tmp_path, caplog):
    path = tmp_path / "own_trains.py"
    path.write_text(TRAINS.format(method=method))
    images = keras.Input(SHAPE)
    x = keras.layers.Dense(5)(keras.layers.Flatten()(images))
    own_code.load(str(path))["OwnTrains"](images, x).save(tmp_path / "m.keras")
    as_new()
    table.build(str(tmp_path / "m.keras"), SHAPE, 5, trusted_modules=str(path))
    said = f"`{method}` of its OwnTrains is not called"
    assert (said in caplog.text) == (method != "summary")


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
