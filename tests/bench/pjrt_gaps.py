"""Measure what of a run's time its device has nothing to do, between JAX's steps.

.venv-pjrt/bin/python -m tests.bench.pjrt_gaps [--step_ms=4] [--devices=1]
    [--epochs=4] [--steps_per_loop=100]

The device is a process (`tests.bench.pjrt_device`) that takes a fixed time for each
step, one after the other, and says when it began and ended. The rest is a run of
`sam_pod.train` on 20,000 images of 32 x 32: ResNet20's state of 214 arrays on a CPU
device of JAX, a batch of 128 made by tf.data and put there for each step, a call of a
compiled program that takes and returns all of it, metrics read and written. Only what
the step computes is left out. On a busy machine threads wait for a core, and the gaps
are its own: the CPU time of the thread that asks for steps is what a free one needs.
"""

import argparse
import pathlib
import tempfile
import threading
import time

import jax
import numpy as np

from sam_pod import train
from sam_pod.config import recipes, rules
from sam_pod.pjrt import connect, executor
from tests import fixtures
from tests.bench import pjrt_device


class Row:
    """A step's row: there once the device has taken its time."""

    def __init__(self, values, device, number):
        self.values, self._device, self._number = values, device, number

    def block_until_ready(self):
        self._device.wait(self._number)

    def is_ready(self):
        return self._device.is_done(self._number)

    def __array__(self, dtype=None, copy=None):
        self.block_until_ready()
        return np.asarray(self.values, dtype)


class Executor(executor.Executor):
    """Has the device of this script take the time of each step."""

    def __init__(self, mesh, device):
        super().__init__(mesh, deterministic=False)
        self._platform = "of the script's own"  # So that steps are asked for ahead.
        self._device, self._number, self._loop_now = device, 0, 0
        # Of the thread that asks, a step: in each loop, and since the one before.
        self.cpu_ms, self.between_ms, self._end = [], [], None

    def compile_train(self, state, recipe):
        loop = super().compile_train(state, recipe)

        def numbered(iterator, num_steps):
            self._number += 1
            self._loop_now, cpu = self._number, time.thread_time()
            try:
                return loop(iterator, num_steps)
            finally:
                count, end = int(num_steps), time.thread_time()
                self.cpu_ms.append(1000 * (end - cpu) / count)
                if self._end:
                    self.between_ms.append(1000 * (cpu - self._end[0]) / self._end[1])
                self._end = end, count
                self._loop_now = 0  # An evaluation's.

        return numbered

    def _jitted(self, program):
        sources = {output: i for i, output in program.aliases}

        def stand_in(*tensors):
            tensors = jax.lax.optimization_barrier(tensors)
            after = []
            for place, output in enumerate(program.outputs):
                if place not in sources:
                    after.append(jax.numpy.ones(output.shape, output.dtype))
                    continue
                kept = tensors[sources[place]]
                after.append(kept + 1 if output.role == "step" else kept)
            return after

        call = jax.jit(stand_in, donate_argnums=[i for i, _ in program.aliases])

        def step(state, batch):
            *after, row = call(*state, *batch)
            return [*after, Row(row, self._device, self._device.submit(self._loop_now))]

        return step


def share(spans):
    """Return the part of the time between spans, and the longest of them in seconds."""
    gaps = [b[1] - a[2] for a, b in spans]
    busy = [b[2] - b[1] for _, b in spans]
    return sum(gaps) / (sum(gaps) + sum(busy)), max(gaps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step_ms", type=float, default=4.0)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps_per_loop", type=int, default=100)
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", args.devices)
    runtime = connect.of(jax.devices(), deterministic=False)
    device = pjrt_device.Device(args.step_ms / 1000)
    own = Executor(runtime.strategy.mesh, device)
    object.__setattr__(runtime, "executor", own)
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder, "data")
        fixtures.write_data(data, train=20_000, test=128, shape=(32, 32, 3), classes=10)
        config = recipes.load("configs/resnet20.py:sgd")
        config.num_epochs, config.steps_per_loop = args.epochs, args.steps_per_loop
        config.global_batch_size = 128
        config.data.name, config.data.dir = "images", str(data)
        config.data.validation_examples = 128
        rules.validate(config)
        train.run(config, f"{folder}/run", runtime, threading.Event())
    device.close()
    pairs = [
        (a, b) for a, b in zip(device.spans[1:], device.spans[2:], strict=False) if b[0]
    ]
    within = [(a, b) for a, b in pairs if a[0] == b[0]]
    of_epochs = [(a, b) for a, b in pairs if a[0]]  # 0 is an evaluation's.
    steps = [1000 * (b[2] - b[1]) for _, b in pairs]
    print(
        f"{len(steps)} steps of {np.median(steps):.2f} ms on {args.devices} device(s)"
    )
    for name, some in (
        ("within loops", within),
        ("within epochs", of_epochs),
        ("with evaluations and checkpoints", pairs),
    ):
        part, longest = share(some)
        print(f"between steps, {name}: {part:.2%}, at most {1000 * longest:.1f} ms")
    within, between = np.median(own.cpu_ms), np.median(own.between_ms)
    print(f"CPU of the host's thread, a step: {within:.2f} ms, {between:.2f} between")


if __name__ == "__main__":
    main()
