"""Write training steps for a machine without TensorFlow: elsewhere_run.py times them.

python -m tests.bench.elsewhere DIR [--batch_size=1024]

DIR gets the step of ResNet20 in float32 and bfloat16, plain and SAM, for one replica,
as `sam_pod.export` writes it, and a first state. Copy it and tests/bench alone.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"

import argparse
import json
import pathlib

import numpy as np
import tensorflow as tf

from sam_pod.config import command_line
from sam_pod.lowering import programs, stablehlo
from sam_pod.preflight import subject

CIFAR10 = subject.KNOWN["cifar10"]


def lower(dtype, rho, batch_size):
    """Return the recipe of a step and its program."""
    arguments = ["main", "--config=configs/resnet20.py:sgd", f"--config.dtype={dtype}"]
    arguments += [f"--config.sam.rho={rho}", f"--config.global_batch_size={batch_size}"]
    # What others measure does not augment.
    arguments += ["--config.data.augment=", "--config.data.dir=none"]
    config = command_line.parse(arguments)[0].config
    recipe = subject.build(config, CIFAR10).recipe(1)
    program = programs.train_step(
        recipe,
        CIFAR10.image_shape,
        num_replicas=1,
        per_replica_batch_size=batch_size,
    )
    return recipe, program


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--batch_size", type=int, default=1024)
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    for dtype in ("float32", "bfloat16"):
        for step, rho in (("SAM", 0.05), ("plain", 0.0)):
            recipe, program = lower(dtype, rho, args.batch_size)
            path = args.folder / f"{step} {dtype}"
            path.with_suffix(".stablehlo").write_bytes(
                stablehlo.portable(program.hlo, program.aliases)
            )
            shapes = {
                side: [
                    (tensor.shape, tensor.dtype) for tensor in getattr(program, side)
                ]
                for side in ("inputs", "outputs")
            }
            path.with_suffix(".json").write_text(json.dumps(shapes))
    state = tf.nest.flatten(programs.initial_values(recipe))
    np.savez(args.folder / "state.npz", *map(np.asarray, state))


if __name__ == "__main__":
    main()
