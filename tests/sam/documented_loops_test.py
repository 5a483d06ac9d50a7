"""The loops that README and docs/family.md show, as they stand there."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import sam
from tests import fixtures, runs

RATE = 0.1


def shown(path):
    """Return the Python of a page, block by block."""
    return re.findall(r"```python\n(.*?)```", (runs.ROOT / path).read_text(), re.S)


def test_the_readmes_loop_descends():
    weights = [tf.Variable([1.0, -1.0]), tf.Variable([[2.0]])]
    before = [w.numpy() for w in weights]
    (code,) = shown("README.md")
    exec(code, {"tf": tf, "weights": weights})
    for old, new in zip(before, weights, strict=True):
        assert (np.abs(new) < np.abs(old)).all()


class Descent:
    """An optimizer of `apply`, as Keras' are: w - rate g."""

    def apply(self, gradient, weights):
        for g, w in zip(gradient, weights, strict=True):
            w.assign_sub(RATE * g)


def trained(member):
    """Return the weights after the loop of docs/family.md with a member."""
    keras.utils.set_random_seed(0)
    net = fixtures.small_model()
    weights = [tf.Variable(value) for value in net.initial_weights().values()]
    stats = [tf.constant(value) for value in net.initial_stats().values()]

    def loss_fn(weights, images, labels):
        logits = net.apply(weights, stats, tf.cast(images, tf.float32) / 255).logits
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.reduce_mean(losses), None

    loop, *_ = shown("docs/family.md")
    code, count = re.subn(r"member = .*", "member = given", loop)
    assert count == 1
    names = {
        "given": member(net) if callable(member) else member,
        "weights": weights,
        "batches": fixtures.batches(4, 8),
        "loss_fn": loss_fn,
        "optimizer": Descent(),
        "learning_rate": RATE,
    }
    exec(code, names)
    return np.concatenate([w.numpy().ravel() for w in weights])


@pytest.fixture(scope="module")
def plain():
    return trained(sam.PLAIN)


@pytest.mark.parametrize(
    "member",
    [
        sam.sam.build(),
        sam.gsam.build(),
        sam.friendly.build(),
        sam.vasso.build(),
        sam.looksam.build(k=2),
        lambda net: sam.asam.build(sam.roles.of(net.model)),
        lambda net: sam.sam_on.build(sam.roles.of(net.model)),
        sam.wsam.build(),
        sam.wsam.build(decoupled=False),
    ],
    ids=lambda member: getattr(member, "name", ""),
)
def test_the_loop_of_the_docs_is_the_members(member, plain):
    """A member's own step and not the plain one, as WSAM's without its correction."""
    found = trained(member)
    assert np.isfinite(found).all()
    assert np.abs(found - plain).max() > 1e-5


def test_the_docs_loss_of_a_keras_model_trains_it():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(64, 4)).astype("float32")
    labels = images[:, :3].argmax(1)
    names = {
        "model": model,
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    of_loss, after = shown("docs/family.md")[1].split("\n\n\n")
    exec(of_loss, names)
    losses, variables = [], model.trainable_variables
    for _ in range(60):
        seed = model.layers[1].seed_generator.state.numpy()
        found = sam.gradient(
            lambda w: names["loss_fn"](w, images, labels), variables, 0.05
        )
        Descent().apply(found.gradient, [v.value for v in variables])
        exec(after, {"model": model, "found": found})
        assert (model.layers[1].seed_generator.state.numpy() != seed).any()
        losses.append(float(found.loss))
    assert losses[-1] < losses[0] / 2
    # By one pass a step, at its momentum of 0.99.
    mean = (1 - 0.99**60) * images.mean(0)
    np.testing.assert_allclose(model.layers[0].moving_mean, mean, rtol=1e-3)


def net_of_replicas():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.BatchNormalization()]
    return keras.Sequential([*layers, keras.layers.Dense(3)])


@pytest.mark.parametrize("member", [sam.sam.build(), sam.vasso.build()])
def test_the_docs_loop_on_replicas_is_the_mean_of_two_alone(member):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(5, 8, 4)).astype("float32")
    labels = images[..., :3].argmax(-1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    _, of_loss, code = shown("docs/family.md")
    of_loss, _ = of_loss.split("\n\n\n")

    def names(net, **more):
        known = {"model": net, "loss": loss, "sam": sam, "member": member, **more}
        exec(of_loss, known)
        return known

    strategy = fixtures.mirrored(2)
    with strategy.scope():
        net = net_of_replicas()
        optimizer = keras.optimizers.SGD(RATE, momentum=0.9)
    flat = images.reshape(-1, 4), labels.reshape(-1)
    batches = tf.data.Dataset.from_tensor_slices(flat).batch(8)
    of_replicas = names(
        net, tf=tf, strategy=strategy, batches=batches, optimizer=optimizer
    )
    exec(code, of_replicas)

    alone = net_of_replicas()
    loss_fn = names(alone)["loss_fn"]
    optimizer = keras.optimizers.SGD(RATE, momentum=0.9)
    memories = [member.start(alone.trainable_variables)] * 2
    for image, label in zip(images, labels, strict=True):
        halves = zip(np.split(image, 2), np.split(label, 2), memories, strict=True)
        found = [
            sam.gradient(
                functools.partial(loss_fn, images=x, labels=y),
                alone.trainable_variables,
                0.05,
                member,
                memory,
            )
            for x, y, memory in halves
        ]
        mean = [sum(g) / 2 for g in zip(*(f.gradient for f in found), strict=True)]
        optimizer.apply(mean, alone.trainable_variables)
        moved = [sum(value) / 2 for value in zip(*(f.aux for f in found), strict=True)]
        for variable, value in zip(alone.non_trainable_variables, moved, strict=True):
            variable.assign(value)
        memories = [f.memory for f in found]
    for variable, expected in zip(net.variables, alone.variables, strict=True):
        for value in strategy.experimental_local_results(variable.value):
            np.testing.assert_allclose(
                value, expected, rtol=1e-4, atol=1e-6, err_msg=variable.path
            )


def test_what_its_loss_cannot_give_is_refused_with_the_way_on():
    def loss_fn(weights):
        return tf.reduce_sum(weights[0] ** 2), None

    key = tf.constant([0, 1])
    with pytest.raises(ValueError, match=r"loss of each example.*gamma=1"):
        sam.gradient(loss_fn, [tf.ones(2)], 0.1, sam.esam.build(), key=key)
    found = sam.gradient(loss_fn, [tf.ones(2)], 0.1, sam.esam.build(gamma=1.0), key=key)
    assert np.isfinite(found.gradient[0]).all()
    with pytest.raises(ValueError, match=r"float16.*keep them in float32"):
        sam.gradient(loss_fn, [tf.ones(2, tf.float16)], 0.1)
