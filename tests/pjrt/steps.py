"""A state that JAX steps, and what TensorFlow's own loop makes of the same batches.

The net is smooth: with ReLU a rounding error may decide which way a unit goes.
"""

import re

import keras
import numpy as np
import tensorflow as tf

from sam_pod.machines import groups
from sam_pod.models import batch_norm, network
from sam_pod.step import state as state_lib
from tests import fixtures

REPLICAS, BATCH = 4, 16


def smooth_model(dtype="float32"):
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, dtype=dtype)(images)
    x = batch_norm.FusedBatchNormalization(dtype=dtype)(x)
    x = keras.layers.Activation("swish", dtype=dtype)(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    logits = keras.layers.Dense(5, dtype="float32")(x)
    return network.Network(keras.Model(images, logits))


def recipe_of(net=None, **more):
    return fixtures.small_recipe(net or smooth_model(), **more)


class Run:
    """A state on the devices of JAX, its loops, and an input of some batches."""

    def __init__(self, recipe, global_batches, replicas=REPLICAS, *, as_main=False):
        import jax

        from sam_pod.pjrt import connect

        jax.config.update("jax_enable_x64", True)
        self.recipe, self.batches = recipe, global_batches
        self.runtime = connect.of(jax.devices("cpu")[:replicas])
        self.state = state_lib.create(
            self.runtime.strategy,
            recipe.network,
            recipe.optimizer,
            recipe.variant,
            recipe.average,
        )
        self.executor = self.runtime.executor
        if not as_main:  # What is compiled runs a few times: XLA need not try hard.
            self.executor._options = {"xla_backend_optimization_level": 0}
        self.compiled = _watched(self.executor)
        self.loop = self.executor.compile_train(self.state, recipe)
        self.iterator = self.input(masked=False)

    def input(self, *, masked):
        def input_fn(context):
            count = context.num_replicas_in_sync
            size = len(self.batches[0][0]) // count
            group = self.recipe.groups.among(count)
            rows = [
                groups.rows(
                    tf.constant(r), size, group, self.recipe.micro_batches
                ).numpy()
                for r in range(count)
            ]
            images = np.concatenate([x[row] for x, _ in self.batches for row in rows])
            labels = np.concatenate([y[row] for _, y in self.batches for row in rows])
            parts = (images, labels)
            if masked:
                parts += ((np.arange(len(labels)) % 3 > 0).astype(np.float32),)
            return fixtures.stamped(parts, size)

        strategy = self.runtime.strategy
        return iter(strategy.distribute_datasets_from_function(input_fn))

    def train(self, *counts):
        """Run loops of so many steps; return their rows together."""
        rows = [
            self.loop(self.iterator, tf.constant(n, tf.int64))[0].numpy()
            for n in counts
        ]
        return np.concatenate(rows)

    def arrays(self):
        self.executor.settle(self.state)
        return state_lib.to_arrays(self.state)


def _watched(executor):
    """Return the (program, XLA's program) pairs that an executor makes from now on."""
    from sam_pod.pjrt import program as program_lib

    made = []

    def jitted(program):
        mapped = program_lib.mapped(program, executor._mesh, executor._options)
        compiled = mapped.lower(*_shapes(program, executor._mesh)).compile()
        made.append((program, compiled))
        return lambda state, batch: list(compiled(*state, *batch))

    executor._jitted = jitted
    return made


def _shapes(program, mesh):
    """Return what a mapped program is called with."""
    import jax

    from sam_pod.pjrt import program as program_lib
    from sam_pod.pjrt import strategy as strategy_lib

    def of(tensor):
        shape, spec = tensor.shape, jax.sharding.PartitionSpec()
        if tensor.role in program_lib.BATCH:
            shape = (shape[0] * program.num_replicas, *shape[1:])
            spec = jax.sharding.PartitionSpec(strategy_lib.AXIS)
        sharding = jax.sharding.NamedSharding(mesh, spec)
        return jax.ShapeDtypeStruct(shape, tensor.dtype, sharding=sharding)

    return [of(tensor) for tensor in program.inputs if tensor.role != "replica_id"]


def sizes_of_all_reduces(compiled):
    """Return how many replicas take part in each all-reduce of the optimized program.

    In the order of the text, which is that of the schedule.
    """
    found = []
    for line in compiled.as_text().splitlines():
        if " all-reduce(" in line or " all-reduce-start(" in line:
            groups = re.search(r"replica_groups=(\{\{[\d,]+\}|\[\d+,\d+\])", line)[1]
            listed = re.findall(r"\d+", groups)
            found.append(len(listed) if groups[0] == "{" else int(listed[1]))
    return found


def distance(some, others):
    """Return the L2 distance of two lists of arrays."""
    squares = (np.square(a - b).sum() for a, b in zip(some, others, strict=True))
    return float(np.sqrt(sum(squares)))


def theirs(recipe, global_batches, replicas=REPLICAS):
    strategy = fixtures.mirrored(replicas)
    state, rows = fixtures.train(strategy, recipe, global_batches)
    return state_lib.to_arrays(state), rows


def assert_close(found, expected, atol=2e-6):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=2e-6)
