"""The programs that one replica runs, lowered to HLO: what `main` would run on a TPU.

A program is the body of the compiled loop (loop.compile_loop): the loop itself runs on
the host, which starts the program once a step and keeps the state on the device.
"""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input.batches import Batch
from sam_pod.lowering import made_up_tpu, refusals
from sam_pod.sam.variant import Variant
from sam_pod.step import algorithm, exchange, metrics
from sam_pod.step import state as state_lib
from sam_pod.step.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One input or output of a program."""

    name: str
    role: str  # 'step', 'weights', 'stats', 'slots', 'images', ...
    shape: tuple[int, ...]
    dtype: str

    @property
    def num_bytes(self) -> int:
        """Return its size without any padding of a device."""
        return int(np.prod(self.shape)) * tf.as_dtype(self.dtype).size


@dataclasses.dataclass(frozen=True)
class Program:
    """One replica's program: flat inputs to flat outputs."""

    hlo: bytes  # A serialized HloModuleProto.
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    aliases: tuple[tuple[int, int], ...]  # (input, output): one buffer, updated.
    num_replicas: int
    exchanges: tuple[exchange.Exchange, ...]  # That a training step declares.
    passes: float  # The FLOPs that it declares, over those of one gradient.
    graph: Any = dataclasses.field(repr=False, compare=False)  # For `source_line`.

    def source_line(self, op_name: str) -> str:
        """Return FILE:LINE that made an operation of the HLO's metadata, or ''."""
        try:
            frames = self.graph.get_operation_by_name(op_name).traceback
        except (KeyError, ValueError):
            return ""
        own = [f for f in frames if "site-packages" not in f.filename]
        return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def train_step(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    *,
    num_replicas: int,
    per_replica_batch_size: int,
    variant: Variant | None = None,
) -> Program:
    """Return the training step: state, replica's number, batch -> state, metrics.

    Args:
        recipe: The parts of the step.
        image_shape: (H, W, C).
        num_replicas: 1 for a program without any collective.
        per_replica_batch_size: Examples that each replica takes.
        variant: The one of `recipe.programs` that takes the step; the first if None.

    Raises:
        UserError: the model does not lower.
    """
    values = initial_values(recipe)
    state = state_tensors(recipe)

    def replica(*tensors: tf.Tensor) -> list[tf.Tensor]:
        *flat, images, labels = tensors
        before = tf.nest.pack_sequence_as(values, flat)
        after, report = algorithm.replica_step(
            before, Batch(images, labels), recipe, variant
        )
        return [*tf.nest.flatten(after), report]

    width = len(metrics.TRAIN) + len(recipe.metrics)
    report = Tensor("metrics", "metrics", (width,), "float32")
    variant = variant or recipe.variant
    program = _program(
        replica,
        state,
        _batch(per_replica_batch_size, image_shape),
        outputs=(*state, report),
        num_replicas=num_replicas,
    )
    declared = exchange.plan(variant, recipe.groups, recipe.micro_batches, num_replicas)
    passes = variant.passes_on(per_replica_batch_size // recipe.micro_batches)
    return dataclasses.replace(program, exchanges=declared, passes=passes)


def evaluation(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    *,
    num_replicas: int,
    per_replica_batch_size: int,
    averaged: bool = True,
) -> Program:
    """Return the evaluation of a batch: state, replica's number, batch -> sums.

    Arguments and errors are those of `train_step`; `averaged` says whether the average
    of the weights is evaluated, where there is one.
    """
    values = initial_values(recipe)
    mask = Tensor("mask", "mask", (per_replica_batch_size,), "float32")

    def replica(*tensors: tf.Tensor) -> list[tf.Tensor]:
        flat, batch = tensors[:-3], Batch(*tensors[-3:])
        state = tf.nest.pack_sequence_as(values, flat)
        state = state if averaged else state._replace(average={})
        return [algorithm.replica_evaluation(state, batch, recipe)]

    return _program(
        replica,
        state_tensors(recipe),
        (*_batch(per_replica_batch_size, image_shape), mask),
        outputs=(Tensor("sums", "sums", (recipe.num_sums,), "float32"),),
        num_replicas=num_replicas,
    )


def inference(
    recipe: Recipe, image_shape: tuple[int, int, int], *, batch_size: int
) -> Program:
    """Return inference: weights, statistics, uint8 images -> logits `[B, K]`."""
    state = [t for t in state_tensors(recipe) if t.role in ("weights", "stats")]
    num_weights = sum(t.role == "weights" for t in state)
    images, _ = _batch(batch_size, image_shape)
    classes = recipe.network.model.output_shape[-1]

    def replica(*tensors: tf.Tensor) -> list[tf.Tensor]:
        *flat, images = tensors
        return [
            recipe.network.apply(
                flat[:num_weights],
                flat[num_weights:],
                recipe.evaluation_images(images),
            ).logits
        ]

    return _program(
        replica,
        tuple(state),
        (images,),
        outputs=(Tensor("logits", "logits", (batch_size, classes), "float32"),),
        num_replicas=1,
    )


def initial_values(recipe: Recipe) -> state_lib.Values:
    """Return the values before the first step, as arrays."""
    weights = list(recipe.network.initial_weights().values())
    stats = list(recipe.network.initial_stats().values())
    return state_lib.Values(
        step=np.int64(0),
        weights=weights,
        stats=stats,
        slots={
            name: [np.zeros_like(w) for w in weights]
            for name in recipe.optimizer.slot_names
        },
        learning_rate_scale=np.float32(1),
        memory=recipe.variant.start(weights),
        average=recipe.average.start(weights, stats),
    )


def state_tensors(recipe: Recipe) -> tuple[Tensor, ...]:
    """Return the description of each of `tf.nest.flatten(initial_values(recipe))`."""
    values = initial_values(recipe)
    weights = list(recipe.network.initial_weights())
    stats = list(recipe.network.initial_stats())
    names = state_lib.Values(
        step="step",
        weights=weights,
        stats=stats,
        slots={slot: [f"{slot}/{w}" for w in weights] for slot in values.slots},
        learning_rate_scale="learning_rate_scale",
        memory=state_lib.memory_names(recipe.variant, weights),
        average={
            part: [f"average/{name}" for name in names]
            for part, names in recipe.average.start(weights, stats).items()
        },
    )
    roles = state_lib.Values(
        *(tf.nest.map_structure(lambda _, r=r: r, v) for r, v in _fields(names))
    )
    return tuple(
        Tensor(name, role, np.shape(value), np.asarray(value).dtype.name)
        for name, role, value in zip(
            *map(tf.nest.flatten, (names, roles, values)), strict=True
        )
    )


def _fields(values: state_lib.Values) -> list[tuple[str, Any]]:
    return list(values._asdict().items())


def _batch(size: int, image_shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    return (
        Tensor("images", "images", (size, *image_shape), "uint8"),
        Tensor("labels", "labels", (size,), "int32"),
    )


def _program(
    replica: Callable,
    state: Sequence[Tensor],
    batch: Sequence[Tensor],
    *,
    outputs: Sequence[Tensor],
    num_replicas: int,
) -> Program:
    number = Tensor("replica_id", "replica_id", (), "int32")
    numbers = (number,) if num_replicas > 1 else ()
    inputs = (*state, *numbers, *batch)
    made_up = made_up_tpu.strategy(num_replicas) if numbers else None

    @tf.function(jit_compile=True, autograph=False)
    def traced(*tensors: tf.Tensor) -> Sequence[tf.Tensor]:
        if made_up is None:
            return replica(*tensors)
        flat, replica_id = tensors[: len(state)], tensors[len(state)]
        with made_up_tpu.one_replica(made_up, replica_id):
            return replica(*flat, *tensors[len(state) + 1 :])

    _let_xla_greet()
    specs = [tf.TensorSpec(t.shape, t.dtype) for t in inputs]
    try:
        graph = traced.get_concrete_function(*specs).graph
    except (LookupError, ValueError) as error:
        if not refusals.is_of_the_model(str(error)):
            raise
        raise errors.UserError(refusals.does_not_lower(str(error))) from error
    if graph.captures:  # XLA would take them for arguments, which nobody has.
        tensor, inside = graph.captures[0]
        reader = next((op.name for op in inside.consumers()), "")
        raise errors.UserError(refusals.keeps_a_tensor(tensor.shape, reader))
    try:
        hlo = traced.experimental_get_compiler_ir(*specs)(stage="hlo_serialized")
    except (ValueError, tf.errors.OpError) as error:
        raise errors.UserError(refusals.does_not_lower(str(error))) from error
    aliases = [(i, outputs.index(t)) for i, t in enumerate(state) if t in outputs]
    return Program(
        hlo, inputs, tuple(outputs), tuple(aliases), num_replicas, (), 0.0, graph
    )


@functools.cache
def _let_xla_greet() -> None:
    """Start XLA, whose first lines go to stderr in spite of TF_CPP_MIN_LOG_LEVEL."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") == "0":
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        nothing = tf.function(lambda x: x, jit_compile=True, autograph=False)
        nothing.experimental_get_compiler_ir(tf.TensorSpec([]))(stage="hlo")
        nothing(tf.zeros([]))  # It announces its first compiled program as well.
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
