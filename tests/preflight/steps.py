"""Real steps of small nets, measured: lowered only, or compiled as well.

Most have one fault, in a layer or in what the trainer would do.
"""

import functools
import pathlib
import tempfile

import keras
import tensorflow as tf

from sam_pod import sam
from sam_pod.lowering import programs
from sam_pod.machines import replicas
from sam_pod.models import network
from sam_pod.preflight import compiler, measured, remembered, topologies
from sam_pod.step import optimizers, passes
from tests import fixtures

REPLICAS, BATCH, SHAPE = 4, 4, (6, 6, 3)
V5E = topologies.parse("v5e:2x2")


class Odd(keras.layers.Layer):
    """A layer that computes `fn`, of the shape of its input."""

    def __init__(self, fn, **kwargs):
        super().__init__(**kwargs)
        self._fn = fn

    def call(self, x):
        return self._fn(x)

    def compute_output_shape(self, shape):
        return shape


def net(fn=tf.nn.relu, dtype="float32"):
    """Return a net with an odd layer; its logits are float32 in any type."""
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, dtype=dtype, name="first")(images)
    x = Odd(fn, dtype=dtype, name="odd")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    logits = keras.layers.Dense(5, dtype="float32", name="head")(x)
    return network.Network(keras.Model(images, logits))


def lower(recipe, *, batch=BATCH, evaluation=False):
    build = programs.evaluation if evaluation else programs.train_step
    return build(recipe, SHAPE, num_replicas=REPLICAS, per_replica_batch_size=batch)


def lowered(recipe, error="", **kwargs):
    """Return a step before it is compiled, or that the compiler complained of."""
    not_compiled = remembered.Compiled({"error": error}, "")
    parts = recipe.micro_batches
    return measured.Measured(lower(recipe, **kwargs), not_compiled, V5E, parts)


def compiled(program, micro_batches=1):
    """Return a program that was compiled for V5E; each is once in a test run."""
    (result,) = compiler.compile_all(
        [compiler.Job("a step", program, V5E)],
        num_processes=1,
        progress=lambda line: None,
        cache=_cache(),
    )
    return measured.Measured(program, result, V5E, micro_batches)


@functools.cache
def _cache():
    folder = tempfile.TemporaryDirectory(prefix="sam_pod_compiled_")
    _cache.folder = folder  # As long as the tests run.
    return pathlib.Path(folder.name)


def small(**kwargs):
    return fixtures.small_recipe(fixtures.small_model(), **kwargs)


def sam_step():
    return compiled(lower(small()))


def plain_step():
    return compiled(lower(small(rho=0.0)))


def reduces_twice(sync, parts=1):
    """Return a recipe that reduces as Keras' optimizers do inside a replica."""
    update = optimizers.sgd(0.9, False).update
    twice = optimizers.Optimizer(
        ("velocity",), lambda g, *rest: update(replicas.total(g), *rest)
    )
    return small(sync=sync, optimizer=twice, micro_batches=parts)


def ascends_twice(monkeypatch):
    """Let the gradient at w + e be one more ascent, and the gradient there."""
    once = passes.run

    def run(weights, examples, values, recipe, watched=None, **more):
        found = once(weights, examples, values, recipe, watched, **more)
        if weights is values.weights:
            return found
        ascent = sam.perturbation(found.gradient, 0.1)
        return once(sam.perturb(weights, ascent), examples, values, recipe)

    monkeypatch.setattr(passes, "run", run)
