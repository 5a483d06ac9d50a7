"""One side of tpu_compile.py: our step, of a network with momentum SGD."""

import dataclasses
import re

IMAGE_SHAPE, NUM_CLASSES = (32, 32, 3), 10
LEARNING_RATE, DECAY_STEPS = 0.1, 10  # A cosine that has fallen by the second step.
MOMENTUM, NESTEROV = 0.9, True
WEIGHT_DECAY = 5e-4
# By network: the side of its images, and its classes.
MODELS = {
    "resnet20": (IMAGE_SHAPE[0], NUM_CLASSES),
    "resnet50": (224, 1000),
    "wrn28_10": (32, 10),
    "vit_s16": (224, 1000),
}


def build_recipe(dtype, rho, model="resnet20"):
    """Return the step's recipe: no augmentation, so that both sides do the same."""
    import tensorflow as tf

    from sam_pod import sam
    from sam_pod.data import augment
    from sam_pod.machines import groups
    from sam_pod.models import table
    from sam_pod.step import optimizers, recipe, schedules
    from sam_pod.step import rho as rho_lib

    exact = dtype == "float64"

    def schedule(step, scale):
        rate = LEARNING_RATE * scale * schedules.cosine(step, DECAY_STEPS)
        return tf.cast(rate, tf.float64) if exact else rate

    size, num_classes = MODELS[model]
    network = table.build(
        model, (size, size, 3), num_classes, dtype="float32" if exact else dtype
    )
    return recipe.Recipe(
        network=in_float64(network) if exact else network,
        optimizer=optimizers.sgd(MOMENTUM, NESTEROV),
        schedule=schedule,
        augmentation=augment.build("", augment.Options()),
        variant=sam.sam.build() if rho else sam.PLAIN,
        rho=rho_lib.constant(rho),
        groups=groups.of("global"),
        weight_decay=WEIGHT_DECAY,
        seed=0,
    )


def in_float64(network):
    """Return the same network in float64 but for the rounding of its logits."""
    import keras
    import tensorflow as tf

    from sam_pod.models import batch_norm
    from sam_pod.models import network as network_lib

    def clone(layer):
        return layer.from_config(layer.get_config() | {"dtype": "float64"})

    class Float64(network_lib.Network):
        def apply(self, *args, **kwargs):
            outputs = super().apply(*args, **kwargs)
            return dataclasses.replace(
                outputs,
                logits=tf.cast(outputs.logits, tf.float64),
                penalty=tf.cast(outputs.penalty, tf.float64),
            )

    model = keras.models.clone_model(network.model, clone_function=clone)
    model.set_weights(network.model.get_weights())
    # The fused operation has no float64: this takes the moments one by one.
    batch_norm.share_batches(model, lambda tensors: tensors, over_all_replicas=False)
    return Float64(model)


def lower(model, dtype, rho, num_replicas, batch_size):
    """Return the step of one replica, to compile."""
    from sam_pod.lowering import programs

    size, _ = MODELS[model]
    return programs.train_step(
        build_recipe(dtype, rho, model),
        (size, size, 3),
        num_replicas=num_replicas,
        per_replica_batch_size=batch_size,
    )


def run(recipe, images, labels, num_replicas):
    """Return weights, statistics, velocity and reports after steps on the CPU.

    Args:
        recipe: The recipe, as returned by `build_recipe`.
        images: The images of all replicas, `[steps, G, H, W, C]`.
        labels: `[steps, G]`.
        num_replicas: As many logical devices there are.
    """
    import numpy as np
    import tensorflow as tf

    from sam_pod.data.input.batches import Batch
    from sam_pod.step import loop as loop_lib
    from sam_pod.step import state as state_lib

    devices = [f"CPU:{i}" for i in range(num_replicas)]
    strategy = tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    state = state_lib.create(strategy, recipe.network, recipe.optimizer)
    loop = loop_lib.compile_train(strategy, state, recipe)
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).unbatch()
    batches = batches.batch(images.shape[1] // num_replicas, drop_remainder=True)
    data = strategy.distribute_datasets_from_function(
        lambda _: loop_lib.stamped(batches.map(Batch))
    )
    reports, _ = loop(iter(data), tf.constant(len(images), tf.int64))
    names = flax_names(recipe.network)
    variables = [*state.weights, *state.stats]
    after = {n: v.numpy() for n, v in zip(names, variables, strict=True)}
    for name, slot in zip(names, state.slots["velocity"], strict=False):
        after[name.replace("params/", "velocity/")] = slot.numpy()
    return after | {"report": np.asarray(reports)}


def start_of(network):
    """Return the initial weights and statistics by Flax's names."""
    weights, stats = network.initial_weights(), network.initial_stats()
    values = [*weights.values(), *stats.values()]
    return dict(zip(flax_names(network), values, strict=True))


def flax_names(network):
    """Return what Flax calls each weight and statistic; it numbers layers as built."""
    kinds = {"Conv2D": "Conv", "FusedBatchNormalization": "BatchNorm", "Dense": "Dense"}
    parts = {
        "gamma": "scale",
        "beta": "bias",
        "moving_mean": "mean",
        "moving_variance": "var",
    }
    by_kind = {kind: [] for kind in kinds}
    cut = []
    for layer in network.model.layers:
        kind = type(layer).__name__
        is_cut = kind == "StridedPointwiseConv2D"
        (cut if is_cut else by_kind.get(kind, [])).append(layer.name)
    for names in (cut, *by_kind.values()):
        # Keras appends a number that grows with each layer: conv2d, conv2d_1, ...
        names.sort(key=lambda name: int((re.search(r"_(\d+)$", name) or [0, 0])[1]))
    # Flax' Conv, too: the first ones of the third and the fifth block, or of one.
    for place, name in zip((8, 15), cut, strict=False):
        by_kind["Conv2D"].insert(place, name)
    flax = {
        name: f"{kinds[kind]}_{i}"
        for kind, names in by_kind.items()
        for i, name in enumerate(names)
    }

    def rename(path, collection):
        layer, part = path.split("/")
        return f"{collection}/{flax[layer]}/{parts.get(part, part)}"

    return [rename(path, "params") for path in network.initial_weights()] + [
        rename(path, "stats") for path in network.initial_stats()
    ]
