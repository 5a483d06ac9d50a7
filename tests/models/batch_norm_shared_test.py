"""BatchNorm over a batch that several replicas share, by either layer."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import replicas
from sam_pod.models import batch_norm, table
from tests import fixtures
from tests.models.batch_norm_test import KERAS, OURS, pair


def shared(layer):
    inputs = keras.Input((6, 6, 5))
    return keras.Model(inputs, layer(inputs))


def test_sharing_reaches_keras_own_layer():
    model = shared(keras.layers.BatchNormalization(name="bn"))
    batch_norm.share_batches(model, list, over_all_replicas=True)
    assert model.get_layer("bn").synchronized
    assert batch_norm.keep_batches_apart(model) == ["bn"]
    assert not model.get_layer("bn").synchronized


def masked(norm):
    images = keras.Input((6, 6, 3))
    rows = keras.layers.Masking()(keras.layers.Reshape((6, 18))(images))
    return keras.Model(images, norm(rows))


def masked_within(norm):
    rows = keras.Input((6, 18))
    return masked(keras.Model(rows, norm(keras.layers.Dense(4)(rows)), name="bn"))


@pytest.mark.parametrize("over_all", [True, False])
@pytest.mark.parametrize("make", [masked, masked_within])
def test_a_mask_is_refused_where_replicas_share_a_batch(make, over_all):
    model = make(keras.layers.BatchNormalization(name="bn"))
    with pytest.raises(errors.UserError, match=r"layer 'bn' gets a mask, .*'replica'"):
        batch_norm.share_batches(model, list, over_all_replicas=over_all)


@pytest.mark.parametrize("axis", [-1, 1])
def test_keras_own_layer_in_a_group_takes_the_groups_moments(axis):
    """Two halves whose moments are averaged are normalized as the whole batch is."""
    _, whole, x = pair(axis=axis)
    expected = whole(x, training=True)
    halves, sums, outputs = [x[:4], x[4:]], [], []

    def collect(tensors):
        sums.append(tensors)
        return tensors

    def average(_):
        return [(a + b) / 2 for a, b in zip(*sums[:2], strict=True)]

    for function in (collect, average):
        for half in halves:
            _, layer, _ = pair(axis=axis)
            model = shared(layer)
            batch_norm.share_batches(model, function, over_all_replicas=False)
            outputs.append(model(half, training=True))
    np.testing.assert_allclose(tf.concat(outputs[2:], 0), expected, atol=2e-5)
    for mine, theirs in zip(layer.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def saved(folder, layer, **arguments):
    """Return the path of a small network with such a layer in it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    x = layer(**arguments)(keras.layers.Conv2D(4, 3)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    path = str(folder / f"{layer.__name__}{len(arguments)}.keras")
    keras.Model(inputs, keras.layers.Dense(5)(x)).save(path)
    return path


def train_file(path, num_replicas, *, size=0, **recipe):
    """Return weights and statistics after two steps, of which `size` share a batch."""
    average = functools.partial(replicas.group_mean, size=size) if size else None
    net = table.build(
        path,
        (6, 6, 3),
        5,
        batch_norm_average=average,
        over_all_replicas=size == num_replicas,
    )
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    strategy = fixtures.mirrored(num_replicas) if num_replicas > 1 else one
    recipe = fixtures.small_recipe(net, **recipe)
    state, _ = fixtures.train(strategy, recipe, fixtures.batches(2, 16))
    return [v.numpy() for v in [*state.weights, *state.stats]]


# Both layers, 1, 2 and 4 replicas, micro-batches and chunks: each pair that matters.
SYNCHRONIZED = [
    (KERAS, 1, {"accumulate_steps": 2}),
    (OURS, 1, {"micro_batches": 2}),
    (OURS, 2, {"accumulate_steps": 2, "sync": "replica"}),
    (KERAS, 2, {"micro_batches": 2, "rho": 0.0}),
    (KERAS, 4, {"sync": "2"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "num_replicas", "recipe"), SYNCHRONIZED)
def test_a_files_synchronized_layer_is_what_the_run_says(
    tmp_path, layer, num_replicas, recipe
):
    """With each replica's own batch the flag changes no bit."""
    plain = train_file(saved(tmp_path, layer), num_replicas, **recipe)
    flagged = saved(tmp_path, layer, synchronized=True)
    for mine, expected in zip(
        train_file(flagged, num_replicas, **recipe), plain, strict=True
    ):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_replicas", "size", "recipe", "layers"),
    [
        (
            *(2, 2, {"rho": 0.0, "micro_batches": 2}),
            [(KERAS, {}), (OURS, {"synchronized": True})],
        ),
        (2, 2, {}, [(KERAS, {"synchronized": True})]),
        (4, 2, {"sync": "2", "rho": 0.0}, [(KERAS, {"synchronized": True})]),
    ],
)
def test_a_shared_batch_is_the_same_by_either_layer(
    tmp_path, num_replicas, size, recipe, layers
):
    def train(layer, size=size, **arguments):
        path = saved(tmp_path, layer, **arguments)
        return train_file(path, num_replicas, size=size, **recipe)

    expected = train(OURS)
    for layer, arguments in layers:
        tolerance = 0 if layer is OURS else 1e-5
        for mine, value in zip(train(layer, **arguments), expected, strict=True):
            np.testing.assert_allclose(mine, value, rtol=0, atol=tolerance)
    own = zip(train(OURS, size=0), expected, strict=True)
    assert max(np.abs(a - b).max() for a, b in own) > 1e-4


@pytest.mark.parametrize("shape", [(8, 6, 6, 5), (16, 5)])
def test_a_shared_batch_of_one_replica_is_its_own(shape):
    """Averaging over nobody else gives Keras' numbers, whatever the rank."""
    ours, theirs, x = pair(shape=shape)
    ours.average = list
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
        weights = [v.value for v in layer.trainable_variables]
        results.append([*tape.gradient(loss, [x, *weights]), *layer.get_weights()])
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_allclose(mine, expected, atol=2e-5, rtol=1e-5)


def test_a_far_mean_costs_no_precision():
    """The spread between replicas is found although it is tiny beside the mean."""
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32) + 1000
    halves = [tf.constant(x[:4]), tf.constant(x[4:])]
    sums = []

    def collect(tensors):
        sums.append(tensors)
        return tensors

    near = tf.fill([3], 1000.0)
    for half in halves:
        batch_norm._shared_moments(half, near, collect)
    means = [(a + b) / 2 for a, b in zip(*sums, strict=True)]
    mean, variance = batch_norm._shared_moments(halves[0], near, lambda _: means)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=3e-7)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-4)
