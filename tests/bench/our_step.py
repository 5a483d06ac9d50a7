"""This project's compiled step of a config, as `main` builds it, on one batch."""

import numpy as np
import tensorflow as tf

from sam_pod.config import recipes, rules
from sam_pod.data.input.batches import Batch
from sam_pod.machines import runtime
from sam_pod.preflight import subject
from sam_pod.run import build
from sam_pod.step import loop as loop_lib
from sam_pod.step import state as state_lib

CONFIG = "configs/resnet20.py"


def connect(threads):
    """Return the strategy of one device with so many threads."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return runtime.connect("one").strategy


def compile_steps(
    strategy, changes, *, batch_size, dtype, steps, shape=subject.KNOWN["cifar10"]
):
    """Return a function that takes all steps of a run of so many, from the first on.

    Args:
        strategy: Of `connect`.
        changes: What of CONFIG is different, by key.
        batch_size: Images.
        dtype: Of the layers.
        steps: Of a run, which is one call.
        shape: Of the data, as preflight has it.
    """
    config = recipes.load(CONFIG)
    config.num_epochs = 1
    config.global_batch_size = batch_size
    config.dtype = dtype
    config.update_from_flattened_dict(changes)
    rules.validate(config)
    manifest = subject.build(config, shape).manifest
    recipe = build.build_recipe(config, manifest, steps)
    state = state_lib.create(strategy, recipe.network, recipe.optimizer, recipe.variant)
    loop = loop_lib.compile_train(strategy, state, recipe)
    batches = _batches(strategy, batch_size, shape)
    number = tf.constant(steps, tf.int64)

    def run():
        state.step.assign(0)
        loop(batches, number)[0].numpy()

    return run


def _batches(strategy, batch_size, shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, *shape.image_shape), dtype=np.uint8)
    labels = rng.integers(0, shape.num_classes, batch_size).astype(np.int32)
    data = tf.data.Dataset.from_tensors((images, labels)).repeat().map(Batch)
    return iter(strategy.experimental_distribute_dataset(loop_lib.stamped(data)))
