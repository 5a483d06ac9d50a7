"""What a step draws: the same for both passes, and however replicas share a batch."""

import collections
import itertools
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from sam_pod.data.input.batches import Batch
from sam_pod.models import network
from sam_pod.step import algorithm, metrics, passes
from sam_pod.step import state as state_lib
from tests import fixtures
from tests.step.algorithm_test import max_difference, one, run_on


class Spy(network.Network):
    """A network that notes the logits of each pass, by the replica's thread."""

    def __init__(self, model):
        super().__init__(model)
        self.seen = collections.defaultdict(list)

    def apply(self, weights, stats, images, *, key=None, **more):
        outputs = super().apply(weights, stats, images, key=key, **more)
        self.seen[threading.get_ident()].append(outputs.logits)
        return outputs


@pytest.mark.slow
def test_dropout_masks_are_equal_in_both_passes_and_differ_between_replicas():
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.Dense(108, kernel_initializer="identity")(
        keras.layers.Flatten()(inputs)
    )
    spy = Spy(keras.Model(inputs, keras.layers.Dropout(0.5)(x)))
    recipe = fixtures.small_recipe(spy, rho=0.01)
    images = tf.fill([4, 6, 6, 3], tf.constant(255, tf.uint8))
    labels = tf.zeros([4], tf.int32)

    def masks(step_number):
        strategy = fixtures.mirrored(2)
        state = state_lib.create(strategy, spy, recipe.optimizer)
        state.step.assign(step_number)

        def fn():
            algorithm.replica_step(state.read(), Batch(images, labels), recipe)
            first, second = spy.seen.pop(threading.get_ident())
            return tf.stack([first != 0, second != 0])

        return run_on(strategy, fn)

    one_replica, other = masks(7)
    np.testing.assert_array_equal(one_replica[0], one_replica[1])
    assert 0.3 < (one_replica[0] == other[0]).mean() < 0.7
    again, _ = masks(7)
    np.testing.assert_array_equal(again, one_replica)
    later, _ = masks(8)
    assert 0.3 < (one_replica[0] == later[0]).mean() < 0.7


def test_the_draws_of_a_global_batch_do_not_depend_on_the_replicas():
    def record(images, draws):
        seen.append(draws)
        return tf.cast(images, tf.float32)

    ((x, y),) = fixtures.batches(1, 8)
    net = fixtures.small_model()

    def draws(count, step_number=3, seed=0):
        seen.clear()
        recipe = fixtures.small_recipe(
            net, augmentation=fixtures.no_augmentation(record), seed=seed
        )
        size = 8 // count

        def fn():
            passes.micro_batches(
                Batch(tf.constant(x[:size]), y[:size]),
                tf.constant(step_number, tf.int64),
                recipe,
            )
            return seen[-1]

        return np.concatenate(run_on(fixtures.mirrored(count), fn))

    seen = []
    whole = draws(1)
    assert whole.shape == (8, 4)
    assert len(np.unique(whole)) == 32
    np.testing.assert_array_equal(whole, draws(2))
    np.testing.assert_array_equal(whole, draws(4))
    assert not np.array_equal(whole, draws(1, step_number=4))
    assert not np.array_equal(whole, draws(1, seed=1))


EVERYTHING = "crop,flip,autoaugment,brightness,color_jitter,cutout,mixup,cutmix"


@pytest.mark.parametrize(
    ("count", "parts", "chunks"),
    [
        pytest.param(4, 1, 1, marks=pytest.mark.slow),
        pytest.param(2, 2, 2, marks=pytest.mark.slow),
    ],
)
def test_replicas_augment_and_mix_as_one_does(count, parts, chunks):
    """Ascents of as many groups on both sides, so that nothing but rounding differs."""
    net = fixtures.small_model(norm=False)
    data = fixtures.batches(3, 16)
    many = fixtures.augmented_recipe(
        net, EVERYTHING, micro_batches=parts, accumulate_steps=chunks
    )
    alone = fixtures.augmented_recipe(net, EVERYTHING, micro_batches=parts)
    state, rows = fixtures.train(fixtures.mirrored(count), many, data)
    expected, expected_rows = fixtures.train(one(), alone, data)
    assert max_difference(state, expected) <= 5e-7
    np.testing.assert_allclose(rows, expected_rows, atol=1e-5)
    plain = fixtures.small_recipe(net, micro_batches=parts)
    assert max_difference(state, fixtures.train(one(), plain, data)[0]) > 1e-3


def test_both_passes_see_the_same_augmented_batch_and_evaluation_sees_none():
    spy = Spy(fixtures.small_model(norm=False).model)
    images_seen = []
    apply = spy.apply

    def note(weights, stats, images, **more):
        images_seen.append(images)
        return apply(weights, stats, images, **more)

    spy.apply = note
    recipe = fixtures.augmented_recipe(spy, EVERYTHING)
    ((x, y),) = fixtures.batches(1, 8)
    state = state_lib.create(one(), spy, recipe.optimizer)
    algorithm.replica_step(state.read(), Batch(tf.constant(x), tf.constant(y)), recipe)
    first, second = images_seen
    assert first is second
    np.testing.assert_array_less(0.1, np.abs(first - x / 255).max((1, 2, 3)))
    images_seen.clear()
    mask = tf.ones([8])
    algorithm.replica_evaluation(
        state.read(), Batch(tf.constant(x), tf.constant(y), mask), recipe
    )
    np.testing.assert_allclose(images_seen[0], x / 255, atol=1e-6)


def test_accuracy_under_soft_labels_is_of_the_largest_part():
    net = fixtures.small_model(norm=False)
    ((x, y),) = fixtures.batches(1, 8)
    recipe = fixtures.augmented_recipe(net, "mixup", rho=0.0)
    _, rows = fixtures.train(one(), recipe, [(x, y)])
    (part,) = passes.micro_batches(
        Batch(tf.constant(x), tf.constant(y)), tf.constant(0, tf.int64), recipe
    )
    weights = [tf.constant(w) for w in net.initial_weights().values()]
    logits = net.apply(weights, [], part.images, key=tf.constant([0, 0])).logits
    right = logits.numpy().argmax(1) == part.labels.numpy().argmax(1)
    soft = -(part.labels.numpy() * np.log(tf.nn.softmax(logits))).sum(1)
    report = dict(zip(metrics.TRAIN, rows[0], strict=True))
    assert report["train/accuracy"] == pytest.approx(right.mean())
    assert report["train/loss"] == pytest.approx(soft.mean(), abs=1e-5)


@pytest.mark.slow
def test_without_augmentation_the_graph_is_that_of_hard_labels():
    """Not one operation is added for what is off."""
    net = fixtures.small_model()
    recipe = fixtures.small_recipe(net)
    state = state_lib.create(one(), net, recipe.optimizer)

    @tf.function
    def traced(images, labels):
        return algorithm.replica_step(state.read(), Batch(images, labels), recipe)

    graph = traced.get_concrete_function(
        tf.TensorSpec((8, 6, 6, 3), tf.uint8), tf.TensorSpec((8,), tf.int32)
    ).graph.as_graph_def()
    nodes = itertools.chain(graph.node, *(f.node_def for f in graph.library.function))
    kinds = collections.Counter(node.op for node in nodes)
    assert kinds["StatelessRandomUniformFullIntV2"] > 0
    assert kinds["SoftmaxCrossEntropyWithLogits"] == 0  # With soft labels.
    assert kinds["BitwiseXor"] == 0  # With more draws.
