"""Tiny data sets on disk, and a small recipe, for the tests."""

import itertools

import keras
import numpy as np
import tensorflow as tf

from sam_pod import sam
from sam_pod.config import keys as config_lib
from sam_pod.data import augment
from sam_pod.data.input.batches import Batch
from sam_pod.data.prepare import shards
from sam_pod.data.sources import arrays
from sam_pod.data.stored import records
from sam_pod.data.stored.untuned import untuned
from sam_pod.machines import groups
from sam_pod.models import batch_norm, network
from sam_pod.step import loop as loop_lib
from sam_pod.step import losses, optimizers, schedules
from sam_pod.step import recipe as recipe_lib
from sam_pod.step import rho as rho_lib
from sam_pod.step import state as state_lib


def write_data(
    path,
    *,
    train=100,
    test=30,
    shape=(8, 8, 3),
    classes=4,
    name="images",
    **options,
):
    """Write a prepared data set whose image i starts with the bytes of i."""
    rng = np.random.default_rng(0)

    def split(count, offset):
        images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        labels = rng.integers(0, classes, count)
        numbers = np.arange(count) + offset
        images[:, 0, 0, 0], images[:, 0, 1, 0] = numbers // 256, numbers % 256
        return arrays.split("images", images, labels)

    source = records.Source(
        name=name,
        classes=tuple(f"class {i}" for i in range(classes)),
        kind="test",
        place="nowhere",
        fingerprint="",
        sha256="0" * 64,
        channels=shape[2],
        splits={"train": split(train, 0), "test": split(test, 0)},
    )
    options = shards.ShardOptions(**options)
    return shards.write_with(source, str(path), 3, options).manifest


def numbers(images):
    """Return which examples these images of write_data are."""
    images = np.asarray(images).astype(int)
    return images[:, 0, 0, 0] * 256 + images[:, 0, 1, 0]


def mirrored(replicas):
    """Return a strategy over the first logical CPU devices."""
    return tf.distribute.MirroredStrategy(
        [f"/cpu:{i}" for i in range(replicas)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def small_model(*, norm=True, dropout=0.0, shape=(6, 6, 3), classes=5, seed=0):
    keras.utils.set_random_seed(seed)
    images = keras.Input(shape)
    x = keras.layers.Conv2D(4, 3, use_bias=False)(images)
    if norm:
        x = batch_norm.FusedBatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return network.Network(keras.Model(images, keras.layers.Dense(classes)(x)))


def small_recipe(net, *, optimizer=None, rho=0.1, sync="global", seed=0, **more):
    config = config_lib.defaults()
    config.optimizer.learning_rate = 0.05
    config.schedule.name = "constant"

    arguments = {
        "network": net,
        "optimizer": optimizer or optimizers.sgd(0.9, False),
        "schedule": schedules.build(config, 10),
        "augmentation": no_augmentation(),
        "variant": sam.sam.build() if rho else sam.PLAIN,
        "rho": rho if callable(rho) else rho_lib.constant(rho),
        "groups": groups.of(sync),
        "weight_decay": 0.0,
        "seed": seed,
    }
    return recipe_lib.Recipe(**{**arguments, **more})


def no_augmentation(images=lambda images, draws: augment.to_float(images)):
    """Return what only scales images, or what `images(images, draws)` makes of them."""
    return augment.Augmentation(frozenset(), images, None, augment.NUM_DRAWS, False)


def augmented_recipe(net, names, *, classes=5, crop_fill="zero", **more):
    """Return a small recipe with augmentation for 6 x 6 pixels, and smooth labels."""
    built = augment.build(
        names,
        augment.Options(
            crop_padding=1,
            crop_fill=crop_fill,
            cutout_size=2,
            num_classes=classes,
            label_smoothing=0.1,
        ),
    )
    return small_recipe(net, augmentation=built, **more)


def batches(count, size, shape=(6, 6, 3), classes=5, seed=0):
    """Return random (uint8 images, int32 labels), `count` of them."""
    rng = np.random.default_rng(seed)
    return [
        (
            rng.integers(0, 256, (size, *shape), dtype=np.uint8),
            rng.integers(0, classes, size).astype(np.int32),
        )
        for _ in range(count)
    ]


def train(strategy, recipe, global_batches):
    """Run the compiled step on global batches; return (state, rows of metrics)."""
    state = state_lib.create(
        *(strategy, recipe.network, recipe.optimizer, recipe.variant, recipe.average)
    )
    loop = loop_lib.compile_train(strategy, state, recipe)

    def input_fn(context):
        count = context.num_replicas_in_sync
        size = len(global_batches[0][0]) // count
        group = recipe.groups.among(count)
        rows = [
            groups.rows(tf.constant(r), size, group, recipe.micro_batches).numpy()
            for r in range(count)
        ]
        images = np.concatenate([x[row] for x, _ in global_batches for row in rows])
        labels = np.concatenate([y[row] for _, y in global_batches for row in rows])
        return stamped((images, labels), size)

    iterator = iter(strategy.distribute_datasets_from_function(input_fn))
    rows, _ = loop(iterator, tf.constant(len(global_batches), tf.int64))
    return state, rows.numpy()


def stamped(parts, size):
    """Return images, labels and perhaps a mask as `stamped` batches of a replica."""
    data = untuned(tf.data.Dataset.from_tensor_slices(parts))
    return loop_lib.stamped(data.batch(size, drop_remainder=True).map(Batch))


def copies(strategy, variables):
    """Return for each variable its value on each replica."""
    return [
        [v.numpy() for v in strategy.experimental_local_results(variable)]
        for variable in variables
    ]


def all_variables(state):
    kept = (*state.slots.values(), *state.memory.values())
    return [
        state.step,
        *state.weights,
        *state.stats,
        *itertools.chain.from_iterable(kept),
    ]


def mean_loss(net, weights, x, y):
    """Return the mean cross-entropy of a training call, as a function of weights."""
    with tf.init_scope():
        stats = [tf.constant(s) for s in net.initial_stats().values()]
    outputs = net.apply(weights, stats, augment.to_float(x), key=tf.constant([0, 0]))
    return tf.reduce_mean(losses.cross_entropy(outputs.logits, y))
