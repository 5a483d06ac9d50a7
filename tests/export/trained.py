"""What the trainer knows of its runs: batches, test images, values of checkpoints."""

import re

import tensorflow as tf

from sam_pod.data.input import pipeline
from sam_pod.data.stored import manifest
from tests import runs


def batches(config, start, count):
    """Return the global batches that the trainer takes from step `start` on."""
    data = manifest.read(config.data.dir)
    splits = pipeline.splits(config.data.dir, data, config.data.validation_examples)
    input_fn = pipeline.training(
        splits["train"],
        global_batch_size=config.global_batch_size,
        seed=config.seed,
        start_step=start,
    )
    dataset = input_fn(tf.distribute.InputContext()).take(count)
    return [(x.numpy(), y.numpy()) for x, y, _ in dataset]


def test_images(config):
    data = manifest.read(config.data.dir)
    split = pipeline.splits(config.data.dir, data, config.data.validation_examples)
    input_fn = pipeline.evaluation(split["test"], global_batch_size=30)
    images, labels, _ = next(iter(input_fn(tf.distribute.InputContext())))
    return images.numpy(), labels.numpy()


def values(workdir, name="checkpoints"):
    """Return the variables of the newest checkpoint, by their place in the state."""
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    stored = runs.checkpoint_values(workdir, name)
    return {key.removesuffix(suffix): value for key, value in stored.items()}


def dense_kernel(names):
    """Return the name of the dense layer's kernel; Keras numbers the layers it made."""
    pattern = re.compile(r"(weights/)?dense(_\d+)?/kernel")
    return next(name for name in names if pattern.fullmatch(name))
