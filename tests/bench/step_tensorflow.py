"""One contender of step.py: this project's compiled step. dtype rho batch threads."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import json
import sys
import time

import numpy as np
import tensorflow as tf

from sam_pod import sam
from sam_pod.config import recipes
from sam_pod.data import augment
from sam_pod.data.input.batches import Batch
from sam_pod.machines import groups
from sam_pod.models import table
from sam_pod.step import loop as loop_lib
from sam_pod.step import optimizers, schedules
from sam_pod.step import recipe as recipe_lib
from sam_pod.step import rho as rho_lib
from sam_pod.step import state as state_lib


def main():
    dtype, rho, batch_size, threads = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    tf.config.experimental.enable_op_determinism()
    config = recipes.load("configs/resnet20.py")
    augmentation = augment.build(config.data.augment, augment.Options())
    recipe = recipe_lib.Recipe(
        network=table.build("resnet20", (32, 32, 3), 10, dtype=dtype),
        optimizer=optimizers.build(config),
        schedule=schedules.build(config, 100),
        augmentation=augmentation,
        variant=sam.sam.build() if float(rho) else sam.PLAIN,
        rho=rho_lib.constant(float(rho)),
        groups=groups.of("global"),
        weight_decay=0.0,
        seed=0,
    )
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    state = state_lib.create(strategy, recipe.network, recipe.optimizer)
    loop = loop_lib.compile_train(strategy, state, recipe)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (int(batch_size), 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, int(batch_size)).astype(np.int32)
    data = loop_lib.stamped(
        tf.data.Dataset.from_tensors((images, labels)).repeat().map(Batch)
    )
    iterator = iter(strategy.experimental_distribute_dataset(data))
    one = tf.constant(1, tf.int64)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loop(iterator, one)[0].numpy()
        times = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
