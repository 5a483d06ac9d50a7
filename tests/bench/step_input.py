"""Two contenders of step.py: reading batches, and augmenting them.

what batch threads: 'read' delivers uint8 batches from CIFAR-sized records as training
reads them; 'augment' is the recipe's augmentation as the compiled step does it. Times
are per batch.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import itertools
import json
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from sam_pod.config import recipes
from sam_pod.data import augment
from sam_pod.data.input import pipeline
from tests import fixtures

BATCHES = 100


def read(batch_size):
    """Return a function that takes BATCHES batches of a set of 50,000 records."""
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "set")
    manifest = fixtures.write_data(path, train=50_000, test=8, shape=(32, 32, 3))
    split = pipeline.splits(path, manifest, 5000)["train"]
    input_fn = pipeline.training(
        split, global_batch_size=batch_size, seed=0, start_step=0
    )
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    batches = iter(strategy.distribute_datasets_from_function(input_fn))
    next(batches)
    folder.cleanup()

    def take():
        for _ in itertools.islice(batches, BATCHES):
            pass

    return take


def augmentation(batch_size):
    """Return a function that augments one batch BATCHES times."""
    config = recipes.load("configs/resnet20.py")
    apply = augment.build(
        config.data.augment,
        augment.Options(
            crop_padding=config.data.crop_padding,
            brightness_delta=config.data.brightness_delta,
        ),
    ).images
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (batch_size, 32, 32, 3), dtype=np.uint8))

    @tf.function
    def compiled(i):
        key = tf.random.experimental.stateless_fold_in(tf.constant([0, 1]), i)
        return tf.reduce_sum(apply(images, augment.draws(key, batch_size)))

    def take():
        for i in range(BATCHES):
            compiled(tf.constant(i))

    return take


def main():
    what, batch_size, threads = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    take = {"read": read, "augment": augmentation}[what](int(batch_size))
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        take()
        times = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps([t / BATCHES for t in times]), flush=True)


if __name__ == "__main__":
    main()
