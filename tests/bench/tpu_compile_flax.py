"""The other side of tpu_compile.py: the same model and step in JAX, as its users write.

    python -m tests.bench.tpu_compile_flax lower OUT.mlirbc --replicas=16 ...
    python -m tests.bench.tpu_compile_flax run IN.npz OUT.npz ...

An environment of its own runs it (python -m venv flax && flax/bin/pip install jax
flax); it was written with jax 0.10.2 and flax 0.12.8 and imports nothing of this
project. SAM is that of google-research/sam with its `sync_perturbations`: `lax.pmean`
of the gradient before the ascent and after the descent, BatchNorm's statistics from the
clean pass. No TPU is needed: the step is traced under `jax.shard_map` on an abstract
mesh, and written in a version of StableHLO that the compiler of an old libtpu reads.
"""

import argparse
import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util
from jax import lax
from jax import numpy as jnp
from jax.sharding import PartitionSpec
from jaxlib.mlir import ir, passmanager
from jaxlib.mlir.dialects import stablehlo

from tests.bench import tpu_compile_models

AXIS = "replica"
# Without JAX's own operations, and without locations, whose form is too new.
READABLE = "builtin.module(func.func(chlo-legalize-to-stablehlo),strip-debuginfo)"
IMAGE_SHAPE, NUM_CLASSES = (32, 32, 3), 10


class ResNet20(nn.Module):
    """The model of sam_pod/models/resnet20.py; layers are numbered in its order."""

    dtype: Any

    @nn.compact
    def __call__(self, images):
        he_normal = nn.initializers.he_normal()
        exact = jnp.promote_types(self.dtype, jnp.float32)  # float64 in a check.

        def convolution(x, filters, size, stride=1):
            return nn.Conv(
                filters,
                (size, size),
                strides=stride,
                padding="SAME",
                kernel_init=he_normal,
                dtype=self.dtype,
                param_dtype=exact,
            )(x)

        def normalize(x, relu=True):
            x = nn.BatchNorm(
                use_running_average=False,
                momentum=0.99,
                epsilon=1e-3,
                dtype=self.dtype,
                param_dtype=exact,
            )(x)
            return nn.relu(x) if relu else x

        def bottleneck(x, filters, expansion, stride, project):
            shortcut = x
            if project:
                shortcut = convolution(x, filters * expansion, 1, stride)
            x = normalize(convolution(x, filters, 1))
            x = normalize(convolution(x, filters, 3, stride))
            x = normalize(convolution(x, filters * expansion, 1), relu=False)
            return nn.relu(x + shortcut)

        x = normalize(convolution(images, 16, 3))
        for filters, expansion, stride in ((16, 4, 1), (64, 2, 2), (128, 2, 2)):
            x = bottleneck(x, filters, expansion, stride, project=True)
            x = bottleneck(x, filters, expansion, 1, project=False)
        x = jnp.mean(normalize(x), axis=(1, 2))
        logits = nn.Dense(
            NUM_CLASSES, kernel_init=he_normal, dtype=exact, param_dtype=exact
        )(x)
        return logits.astype(jnp.float32)


class TrainState(NamedTuple):
    """What a step reads and writes; its buffers are donated."""

    params: Any
    stats: Any
    slots: Any


def train_step(state, images, labels, model, optimizer, schedule, args):
    """Return the state after one step of one replica, and the step's metrics."""
    images = images.astype(jnp.float32) * (1.0 / 255.0)

    def objective(params):
        logits, new = model.apply(
            {"params": params, "batch_stats": state.stats},
            images,
            mutable=["batch_stats"],
        )
        new = {"batch_stats": {}, **new}  # A ViT has none.
        logits = logits.astype(jax.tree.leaves(params)[0].dtype)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        loss, accuracy = losses.mean(), (logits.argmax(-1) == labels).mean()
        penalty = 0.0
        if args.weight_decay:
            kernels = [p for p in jax.tree.leaves(params) if p.ndim > 1]
            penalty = 0.5 * args.weight_decay * sum(jnp.sum(k * k) for k in kernels)
        return loss + penalty, (loss, accuracy, new["batch_stats"])

    pass_at = jax.grad(objective, has_aux=True)
    gradient, (loss, accuracy, stats) = pass_at(state.params)
    perturbed_loss = loss
    if args.rho:
        ascent = lax.pmean(gradient, AXIS)
        grad_norm = optax.global_norm(ascent)
        scale = args.rho / (grad_norm + 1e-12)
        perturbed = jax.tree.map(lambda w, g: w + scale * g, state.params, ascent)
        gradient, (perturbed_loss, _, _) = pass_at(perturbed)
    gradient, stats, loss, perturbed_loss, accuracy = lax.pmean(
        (gradient, stats, loss, perturbed_loss, accuracy), AXIS
    )
    sam_grad_norm = optax.global_norm(gradient)
    if not args.rho:
        grad_norm = sam_grad_norm
    learning_rate = schedule(state.slots[0].count)
    updates, slots = optimizer.update(gradient, state.slots)
    params = optax.apply_updates(state.params, updates)
    report = jnp.stack(
        [
            loss,
            perturbed_loss,
            perturbed_loss - loss,
            accuracy,
            grad_norm,
            sam_grad_norm,
            learning_rate,
            jnp.float32(args.rho),
        ]
    )
    return TrainState(params, stats, slots), report


def build(args):
    """Return (init, step); the step is one replica's, inside a mesh's `AXIS`."""
    if args.model == "resnet20":
        model = ResNet20(jnp.dtype(args.dtype))
    else:
        build_model = tpu_compile_models.MODELS[args.model]
        model = build_model(jnp.dtype(args.dtype), args.num_classes)
    schedule = optax.cosine_decay_schedule(args.learning_rate, args.decay_steps)
    # The rate is inside the momentum, as Keras has it.
    optimizer = optax.chain(
        optax.scale_by_learning_rate(schedule),
        optax.trace(args.momentum, nesterov=args.nesterov),
    )

    def init():
        images = jnp.zeros((1, args.image_size, args.image_size, 3))
        variables = model.init(jax.random.key(0), images)
        params = variables["params"]
        stats = variables.get("batch_stats", {})
        return TrainState(params, stats, optimizer.init(params))

    step = functools.partial(
        train_step, model=model, optimizer=optimizer, schedule=schedule, args=args
    )
    return init, step


def over_replicas(step, mesh):
    """Return the step jitted for a mesh, with the meaning that `jax.pmap` gave it.

    Without `check_vma=False` the gradient would be summed over replicas by itself.
    """
    everywhere, split = PartitionSpec(), PartitionSpec(AXIS)
    sharded = jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(everywhere, split, split),
        out_specs=everywhere,
        check_vma=False,
    )
    return jax.jit(sharded, donate_argnums=0, keep_unused=True)


def lower(args):
    """Write one replica's program for `args.replicas` of them as StableHLO."""
    # The old partitioner's form has a replica's program as a function of its own.
    jax.config.update("jax_use_shardy_partitioner", False)
    init, step = build(args)
    state = jax.eval_shape(init)
    size = args.replicas * args.batch_size
    shape = (size, args.image_size, args.image_size, 3)
    images = jax.ShapeDtypeStruct(shape, jnp.uint8)
    labels = jax.ShapeDtypeStruct((size,), jnp.int32)
    mesh = jax.sharding.AbstractMesh((args.replicas,), (AXIS,))
    traced = over_replicas(step, mesh).trace(state, images, labels)
    module = traced.lower(lowering_platforms=("tpu",)).compiler_ir("stablehlo")
    with module.context:
        keep_one_replica(module, args.replicas, donated=len(jax.tree.leaves(state)))
        stablehlo.register_stablehlo_passes()
        passes = passmanager.PassManager.parse(READABLE)
        passes.run(module.operation)
    with open(args.out, "wb") as file:
        file.write(stablehlo.serialize_portable_artifact(module, args.stablehlo))


def keep_one_replica(module, replicas, donated):
    """Make the body of the sharded step the whole program, its state donated.

    The module is for a partitioner, which unwraps that body and counts devices where
    replicas are counted here: the two have the same all-reduces in the same groups.
    """
    integer = ir.IntegerType.get_signless(32)

    def number(value):
        return ir.IntegerAttr.get(integer, value)

    functions = {op.name.value: op for op in module.body.operations}
    functions["main"].erase()
    body = functions["shmap_body"]
    body.attributes["sym_name"] = ir.StringAttr.get("main")
    body.attributes["sym_visibility"] = ir.StringAttr.get("public")
    # The state comes first in and first out.
    body.attributes["arg_attrs"] = ir.ArrayAttr.get(
        [
            ir.DictAttr.get({"tf.aliasing_output": number(i)} if i < donated else {})
            for i in range(len(body.arguments))
        ]
    )
    module.operation.attributes["mhlo.num_replicas"] = number(replicas)
    module.operation.attributes["mhlo.num_partitions"] = number(1)
    for op in body.entry_block.operations:
        if op.operation.name == "stablehlo.all_reduce":
            del op.operation.attributes["channel_handle"]
            del op.operation.attributes["use_global_device_ids"]


def run(args):
    """Take steps from the weights and on the batches of a file; write where they led.

    Arrays are named by their place: 'params/Conv_0/kernel'. Batches are global ones,
    one a step.
    """
    jax.config.update("jax_enable_x64", args.dtype == "float64")
    init, step = build(args)
    given = dict(np.load(args.given))
    images, labels = given.pop("images"), given.pop("labels")
    given = traverse_util.unflatten_dict(given, sep="/")
    state = init()._replace(params=given["params"], stats=given["stats"])
    compiled = over_replicas(step, jax.sharding.Mesh(jax.devices(), (AXIS,)))
    reports = []
    for batch in zip(images, labels, strict=True):
        state, report = compiled(state, *batch)
        reports.append(report)
    slots = state.slots[1].trace
    trees = {"params": state.params, "stats": state.stats, "velocity": slots}
    flat = traverse_util.flatten_dict(trees, sep="/")
    np.savez(args.out, report=np.stack(reports), **flat)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    lowering = commands.add_parser("lower", help=lower.__doc__.splitlines()[0])
    lowering.set_defaults(call=lower)
    running = commands.add_parser("run", help=run.__doc__.splitlines()[0])
    running.set_defaults(call=run)
    running.add_argument("given")
    for command in (lowering, running):
        command.add_argument("out")
        command.add_argument("--replicas", type=int, required=True)
        command.add_argument("--dtype", required=True)
        command.add_argument("--rho", type=float, required=True)
        command.add_argument("--weight_decay", type=float, default=0.0)
        command.add_argument("--learning_rate", type=float, default=0.1)
        command.add_argument("--decay_steps", type=int, default=10_000)
        command.add_argument("--momentum", type=float, default=0.9)
        command.add_argument("--nesterov", type=int, default=1)
        command.add_argument("--model", default="resnet20")
        command.add_argument("--image_size", type=int, default=IMAGE_SHAPE[0])
        command.add_argument("--num_classes", type=int, default=NUM_CLASSES)
    lowering.add_argument("--batch_size", type=int, default=128, help="per replica")
    lowering.add_argument("--stablehlo", required=True, help="the reader's version")
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
