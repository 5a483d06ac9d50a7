"""Outputs are logits: made so where that is exact, else refused or warned of."""

import logging
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.models import ends
from sam_pod.models.network import Network

L, ops = keras.layers, keras.ops
SHAPE, CLASSES = (6, 6, 3), 10


def model(end=None, **arguments):
    keras.utils.set_random_seed(0)  # What is seen in outputs hangs on the weights.
    images = keras.Input(SHAPE)
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(images))
    x = L.Dense(CLASSES, **arguments)(x)
    return keras.Model(images, end(x) if end else x)


def nested(inner):
    images = keras.Input(SHAPE)
    return keras.Model(images, inner(images))


def block(*layers):
    images = keras.Input(SHAPE)
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(images))
    return keras.Model(
        images, keras.Sequential([keras.Input((4,)), L.Dense(CLASSES), *layers])(x)
    )


def check(net, *, begun=False):
    ends.check_logits("m.keras", Network(net), CLASSES, begun=begun)


@pytest.mark.parametrize(
    "make",
    [
        lambda: model(activation="softmax"),
        lambda: model(activation="log_softmax"),
        lambda: model(L.Softmax()),
        lambda: model(L.Activation("softmax", dtype="float32")),
        lambda: model(ops.softmax),
        lambda: model(ops.log_softmax),
        lambda: model(lambda x: L.Identity()(L.Softmax()(x))),
        lambda: model(L.Activation("linear"), activation="softmax"),
        lambda: nested(model(activation="softmax")),
        lambda: nested(nested(model(L.Softmax()))),
        lambda: block(L.Softmax()),
    ],
)
def test_a_softmax_at_the_end_is_taken_off_exactly(make):
    net = make()
    images = tf.random.stateless_normal([5, *SHAPE], [1, 2])
    before = net(images).numpy()
    weights = [v.path for v in net.trainable_variables]
    stripped = ends.without_softmax(net)
    logits = stripped(images)
    assert np.abs(logits.numpy() - before).max() > 1e-3
    of_all = tf.nn.softmax(logits) if before.min() >= 0 else tf.nn.log_softmax(logits)
    np.testing.assert_allclose(of_all, before, atol=1e-6)
    assert [v.path for v in stripped.trainable_variables] == weights
    check(stripped)


def test_a_softmax_that_something_else_uses_stays():
    net = model(lambda x: L.Add()([L.Softmax()(x), x]))
    assert ends.without_softmax(net) is net
    check(net)
    shared = L.Softmax()
    net = model(lambda x: shared(shared(x)))
    assert ends.without_softmax(net) is net


def cosine(x):
    return L.Lambda(tf.math.cos)(x)


@pytest.mark.parametrize(
    ("margin", "make"),
    [
        (1, lambda: model(activation="sigmoid")),
        (2, lambda: model(activation="tanh")),
        (1, lambda: model(activation="hard_sigmoid")),
        (2, lambda: model(L.Activation("softsign"))),
        (1, lambda: model(ops.sigmoid)),
        (2, lambda: model(lambda x: ops.clip(x, -1, 1))),
        (math.sqrt(10 / 9), lambda: model(L.UnitNormalization())),
        (3, lambda: model(L.Rescaling(3), activation="sigmoid")),
        (1, lambda: nested(model(activation="sigmoid"))),
        (2, lambda: block(L.Activation("tanh"))),
        (1, lambda: model(lambda x: L.Average()([ops.sigmoid(x), ops.sigmoid(-x)]))),
        (2, lambda: model(cosine)),  # Seen by its outputs.
        (math.pi, lambda: model(ops.arctan)),
    ],
)
def test_outputs_that_keep_the_loss_up_are_refused_with_its_bound(margin, make, caplog):
    net = make()
    least = math.log(1 + 9 * math.exp(-margin))
    with pytest.raises(errors.UserError, match=r"no loss .* gets below") as raised:
        check(net)
    told = float(str(raised.value).split("below ")[1].split(";")[0])
    assert told == pytest.approx(least, abs=2e-3)
    assert "\n" not in str(raised.value)
    check(net, begun=True)  # A run of an older version goes on.
    assert f"{told:.3f}" in caplog.text


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("from 0 to 6", lambda: model(L.ReLU(6.0))),
        ("of 0 and above", lambda: model(activation="relu")),
        ("of 0 and above", lambda: model(activation="softplus")),
        ("of 0 and below", lambda: model(activation="log_sigmoid")),
        ("of 0 and above", lambda: model(ops.square)),
    ],
)
def test_outputs_with_an_end_on_one_side_are_warned_of(text, make, caplog):
    caplog.set_level(logging.INFO, "absl")
    check(make())
    assert f"gives outputs {text}" in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        model,
        lambda: model(activation="leaky_relu"),
        lambda: model(L.BatchNormalization()),
        lambda: model(lambda x: 10 * ops.tanh(x)),
        lambda: model(lambda x: 30 * L.UnitNormalization()(x)),
        lambda: model(lambda x: ops.log(x + 1e-7), activation="softmax"),
    ],
)
def test_logits_are_not_spoken_of(make, caplog):
    caplog.set_level(logging.INFO, "absl")
    check(make())
    assert caplog.text == ""


def test_a_binary_head_is_told_what_to_become():
    images = keras.Input(SHAPE)
    head = L.Dense(1, activation="sigmoid")(L.Flatten()(images))
    with pytest.raises(errors.UserError, match=r"one output, .*Dense\(2\)"):
        ends.check("m.keras", keras.Model(images, head), SHAPE, 2)
