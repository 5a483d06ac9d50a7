"""Splits of sets made on the spot, opened, and the batches that are read of them."""

import itertools

import tensorflow as tf

from sam_pod.data.input import pipeline, reading
from tests.data import sets

TRAIN, TEST, HELD_OUT = 103, 29, 19


def context(hosts=1, host=0, replicas=1):
    return tf.distribute.InputContext(hosts, host, replicas)


def take(input_fn, count, **where):
    batches = itertools.islice(input_fn(context(**where)), count)
    return [[part.numpy() for part in batch.tensors] for batch in batches]


def open_splits(
    folder, images, *, is_held=True, image_size=0, random_parts=False, mirrors=False
):
    made = sets.write(folder, images[:TRAIN], tests=images[TRAIN:])
    view = reading.View(
        image_size=image_size,
        random_parts=random_parts,
        mirrors=mirrors,
        is_held=is_held,
        offsets={} if is_held and not random_parts else sets.all_offsets(folder, made),
    )
    return pipeline.splits(str(folder), made, HELD_OUT, view)


def training(splits, start_step=0):
    return pipeline.training(
        splits["train"], global_batch_size=14, seed=3, start_step=start_step
    )
