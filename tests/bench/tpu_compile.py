"""Compile training steps for a TPU, ours and JAX's side by side; no TPU is needed.

python -m tests.bench.tpu_compile --flax_python=PYTHON [--topologies=v5e:4x4] ...

Both sides are ResNet20 with momentum SGD on the same batch a replica, compiled by the
same libtpu, that of sam_pod.preflight. A compile takes minutes, and they take turns;
--steps, --dtypes and --sides choose fewer (a flag is repeated for several values).

JAX's side is lowered by the environment of --flax_python, whose jax need not be ours
(python -m venv flax && flax/bin/pip install jax flax; written with 0.10.2 and 0.12.8).
--check compiles nothing for a TPU: it runs both sides on the CPU, on two replicas with
a batch each, from the same weights, and fails if they lead apart.
"""

import concurrent.futures
import dataclasses
import math
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from absl import app, flags

_FLAX_PYTHON = flags.DEFINE_string(
    "flax_python", sys.executable, "A Python that has jax and flax."
)
_CHECK = flags.DEFINE_bool("check", False, "Compare what the two sides compute.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images a replica takes.")
_KEEP = flags.DEFINE_string("keep", None, "A folder for the programs' texts.")

FLAX_PROGRAM = pathlib.Path(__file__).with_name("tpu_compile_flax.py")
# (replicas, options of the topology): v4's two cores are one device, as in TensorFlow.
TOPOLOGIES = {
    "v5e:4x4": (16, {}),
    "v4:2x2x2": (8, {"chip_config_name": "megacore"}),
}
STEPS = {"plain": 0.0, "SAM": 0.05}  # Their rho.
SIDES = ("ours", "JAX")
_TOPOLOGIES = flags.DEFINE_multi_enum(
    "topologies", list(TOPOLOGIES), list(TOPOLOGIES), "What to compile for."
)
_STEPS = flags.DEFINE_multi_enum("steps", list(STEPS), list(STEPS), "Which steps.")
_DTYPES = flags.DEFINE_multi_enum(
    "dtypes", ["float32", "bfloat16"], ["float32", "bfloat16"], "Of the layers."
)
_SIDES = flags.DEFINE_multi_enum("sides", list(SIDES), list(SIDES), "Whose.")

IMAGE_SHAPE, NUM_CLASSES = (32, 32, 3), 10
LEARNING_RATE, DECAY_STEPS = 0.1, 10  # A cosine that has fallen by the second step.
MOMENTUM, NESTEROV = 0.9, True
WEIGHT_DECAY = 5e-4
# What --check compares: (steps, how far apart the sides may be, as a part of how far
# they moved). float64 shows that both compute the same; float32 that the forward pass
# does so with fused operations, too. Its gradient cannot be held to much: after two
# steps JAX's own float32 was 1.5e-2 from its float64, and ours 6.3e-2.
BOUNDS = {
    "float64": (2, {"params": 1e-6, "stats": 1e-6, "velocity": 1e-6, "report": 1e-6}),
    "float32": (1, {"params": 0.1, "stats": 1e-5}),
}


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a compiled step costs one replica."""

    gflop: float
    gigabytes: float  # Accessed, by the compiler's count.
    hbm_gigabytes: float  # Of these, what the fast memory does not serve.
    temporary_megabytes: float
    all_reduces: int  # And other collectives, after fusion.
    all_reduce_megabytes: float


COLUMNS = (  # (field, heading, format)
    ("gflop", "GFLOP", ".1f"),
    ("gigabytes", "GB", ".3f"),
    ("hbm_gigabytes", "in HBM", ".3f"),
    ("temporary_megabytes", "temp MB", ".1f"),
    ("all_reduces", "all-reduces", "d"),
    ("all_reduce_megabytes", "their MB", ".3f"),
)


# Our side.


def build_recipe(dtype, rho):
    """Return the step's recipe: no augmentation, so that both sides do the same."""
    import tensorflow as tf

    from sam_pod import models, optimizers, recipe, schedules
    from sam_pod.data import augment

    exact = dtype == "float64"

    def schedule(step, scale):
        rate = LEARNING_RATE * scale * schedules.cosine(step, DECAY_STEPS)
        return tf.cast(rate, tf.float64) if exact else rate

    network = models.build(
        "resnet20", IMAGE_SHAPE, NUM_CLASSES, dtype="float32" if exact else dtype
    )
    return recipe.Recipe(
        network=in_float64(network) if exact else network,
        optimizer=optimizers.sgd(MOMENTUM, NESTEROV),
        schedule=schedule,
        preprocess=lambda images, draws: augment.to_float(images),
        rho=rho,
        sync="global",
        weight_decay=WEIGHT_DECAY,
        seed=0,
    )


def in_float64(network):
    """Return the same network in float64 but for the rounding of its logits."""
    import keras
    import tensorflow as tf

    from sam_pod.models import batch_norm
    from sam_pod.models import network as network_lib

    def clone(layer):
        return layer.from_config(layer.get_config() | {"dtype": "float64"})

    class Float64(network_lib.Network):
        def apply(self, *args, **kwargs):
            outputs = super().apply(*args, **kwargs)
            return dataclasses.replace(
                outputs,
                logits=tf.cast(outputs.logits, tf.float64),
                penalty=tf.cast(outputs.penalty, tf.float64),
            )

    model = keras.models.clone_model(network.model, clone_function=clone)
    model.set_weights(network.model.get_weights())
    # The fused operation has no float64: this takes the moments one by one.
    batch_norm.share_batches(model, lambda tensors: tensors, over_all_replicas=False)
    return Float64(model)


def lower_ours(dtype, rho, num_replicas):
    """Return our step of one replica as StableHLO."""
    from sam_pod.lowering import programs, stablehlo

    program = programs.train_step(
        build_recipe(dtype, rho),
        IMAGE_SHAPE,
        num_replicas=num_replicas,
        per_replica_batch_size=_BATCH_SIZE.value,
    )
    return stablehlo.bytecode(program.hlo, program.aliases)


def run_ours(recipe, images, labels, num_replicas):
    """Return weights, statistics, velocity and reports after steps on the CPU.

    Args:
        recipe: Of `build_recipe`.
        images: Of all replicas, `[steps, G, H, W, C]`.
        labels: `[steps, G]`.
        num_replicas: As many logical devices there are.
    """
    import numpy as np
    import tensorflow as tf

    from sam_pod import state as state_lib
    from sam_pod import step

    devices = [f"CPU:{i}" for i in range(num_replicas)]
    strategy = tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    state = state_lib.create(strategy, recipe.network, recipe.optimizer)
    loop = step.compile_train(strategy, state, recipe)
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    reports = loop(
        iter(strategy.experimental_distribute_dataset(data)),
        tf.constant(len(images), tf.int64),
    )
    names = flax_names(recipe.network)
    variables = [*state.weights, *state.stats]
    after = {n: v.numpy() for n, v in zip(names, variables, strict=True)}
    for name, slot in zip(names, state.slots["velocity"], strict=False):
        after[name.replace("params/", "velocity/")] = slot.numpy()
    return after | {"report": np.asarray(reports)}


def start_of(network):
    """Return the initial weights and statistics by Flax's names."""
    weights, stats = network.initial_weights(), network.initial_stats()
    values = [*weights.values(), *stats.values()]
    return dict(zip(flax_names(network), values, strict=True))


def flax_names(network):
    """Return what Flax calls each weight and statistic; it numbers layers as built."""
    kinds = {"Conv2D": "Conv", "FusedBatchNormalization": "BatchNorm", "Dense": "Dense"}
    parts = {
        "gamma": "scale",
        "beta": "bias",
        "moving_mean": "mean",
        "moving_variance": "var",
    }
    layers = {layer.name: layer for layer in network.model.layers}
    by_kind = {kind: [] for kind in kinds}
    for name, layer in layers.items():
        by_kind.get(type(layer).__name__, []).append(name)
    flax = {}
    for kind, names in by_kind.items():
        # Keras appends a number that grows with each layer: conv2d, conv2d_1, ...
        names.sort(key=lambda name: int((re.search(r"_(\d+)$", name) or [0, 0])[1]))
        flax |= {name: f"{kinds[kind]}_{i}" for i, name in enumerate(names)}

    def rename(path, collection):
        layer, part = path.split("/")
        return f"{collection}/{flax[layer]}/{parts.get(part, part)}"

    return [rename(path, "params") for path in network.initial_weights()] + [
        rename(path, "stats") for path in network.initial_stats()
    ]


# JAX's side.


def has_flax():
    run = subprocess.run(
        [_FLAX_PYTHON.value, "-c", "import flax, jax; jax.shard_map"],
        capture_output=True,
        check=False,
    )
    return run.returncode == 0


def call_flax(command, files, dtype, rho, num_replicas, **options):
    """Run a command of tpu_compile_flax.py in its environment."""
    options |= {
        "replicas": num_replicas,
        "dtype": dtype,
        "rho": rho,
        "weight_decay": WEIGHT_DECAY,
        "learning_rate": LEARNING_RATE,
        "decay_steps": DECAY_STEPS,
        "momentum": MOMENTUM,
        "nesterov": int(NESTEROV),
    }
    devices = f"--xla_force_host_platform_device_count={num_replicas}"
    run = subprocess.run(
        [
            *(_FLAX_PYTHON.value, FLAX_PROGRAM, command, *files),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": devices},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"JAX's side failed:\n{run.stderr}")


def lower_flax(dtype, rho, num_replicas):
    """Return JAX's step of one replica as StableHLO that our jaxlib reads."""
    from jaxlib.mlir.dialects import stablehlo

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "step.mlirbc"
        call_flax(
            *("lower", [path], dtype, rho, num_replicas),
            batch_size=_BATCH_SIZE.value,
            stablehlo=stablehlo.get_current_version(),
        )
        return path.read_bytes()


def run_flax(given, dtype, rho, num_replicas):
    """Return what JAX's side has after steps on the CPU: see `run_ours`."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        files = pathlib.Path(folder) / "given.npz", pathlib.Path(folder) / "out.npz"
        np.savez(files[0], **given)
        call_flax("run", files, dtype, rho, num_replicas)
        with np.load(files[1]) as arrays:
            return dict(arrays)


# The compiler.


def compile_apart(program, topology):
    """Return (figures, text) of a program, compiled in a process of its own.

    libtpu keeps its memory, and does not share a process with TensorFlow here.
    """
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
        return process.submit(compile_program, program, topology).result()


def compile_program(program, topology):
    """Return (figures, text) of StableHLO compiled for the replicas of a topology."""
    os.environ |= {  # Nothing may ask a metadata server, nor take libtpu's lock.
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "JAX_PLATFORMS": "cpu",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
    }
    import numpy as np

    from sam_pod.lowering import private
    from sam_pod.preflight import hlo, memory

    num_replicas, options = TOPOLOGIES[topology]
    devices = (
        private.TOPOLOGY.get()(platform="tpu", topology_name=topology, **options)
    ).devices
    assert len(devices) == num_replicas, devices
    options = private.COMPILE_OPTIONS.get()(
        num_replicas=num_replicas,
        num_partitions=1,
        device_assignment=np.array([d.id for d in devices]).reshape(-1, 1),
    )
    compiled = devices[0].client.compile(program, options)
    costs, held = compiled.cost_analysis(), compiled.get_compiled_memory_stats()
    costs = costs[0] if isinstance(costs, list) else costs
    text = compiled.hlo_modules()[0].to_string()
    module = hlo.parse(text)
    carried = [c.num_bytes for c in hlo.collectives(module)]
    figures = Figures(
        gflop=costs["flops"] / 1e9,
        gigabytes=costs["bytes accessed"] / 1e9,
        hbm_gigabytes=memory.hbm_traffic(module) / 1e9,
        temporary_megabytes=held.temp_size_in_bytes / 1e6,
        all_reduces=len(carried),
        all_reduce_megabytes=sum(carried) / 1e6,
    )
    return figures, text


# The comparison.


def print_row(step, side, values):
    cells = (
        f"{value:>12{form}}"
        for value, (_, _, form) in zip(values, COLUMNS, strict=True)
    )
    print(f"{step:<18}{side:<10}{''.join(cells)}", flush=True)


def compare(topology, step, dtype, sides):
    """Compile one step's sides and print a row for each, and their ratio."""
    num_replicas, _ = TOPOLOGIES[topology]
    lower = {"ours": lower_ours, "JAX": lower_flax}
    found = []
    for side in sides:
        started = time.monotonic()
        program = lower[side](dtype, STEPS[step], num_replicas)
        figures, text = compile_apart(program, topology)
        if _KEEP.value:
            name = f"{topology.replace(':', '-')}_{step}_{dtype}_{side}"
            folder = pathlib.Path(_KEEP.value)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.mlirbc").write_bytes(program)
            (folder / f"{name}.txt").write_text(text)
        found.append([getattr(figures, field) for field, _, _ in COLUMNS])
        print_row(f"{step} {dtype}", side, found[-1])
        print(f"({time.monotonic() - started:.0f} s)", file=sys.stderr)
    if len(found) == 2:
        cells = "".join(f"{a / b:>12.3f}" for a, b in zip(*found, strict=True))
        print(f"{'':<18}{'ours/JAX':<10}{cells}", flush=True)


def check():
    """Fail unless both sides compute the same, and say how far they are apart."""
    import numpy as np
    import tensorflow as tf

    most_steps, num_replicas, batch_size = 2, 2, 8
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * num_replicas,
    )
    rng = np.random.default_rng(0)
    shape = (most_steps, num_replicas * batch_size)
    images = rng.integers(0, 256, (*shape, *IMAGE_SHAPE), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, shape).astype(np.int32)
    print(f"{'step':<16}{'steps':>5}  {'what':<10}{'apart/moved':>12}{'at most':>10}")
    failed = False
    for step in _STEPS.value:
        rho = STEPS[step]
        for dtype, (num_steps, bounds) in BOUNDS.items():
            recipe = build_recipe(dtype, rho)
            start = start_of(recipe.network)
            given = start | {"images": images[:num_steps], "labels": labels[:num_steps]}
            ours = run_ours(recipe, given["images"], given["labels"], num_replicas)
            theirs = run_flax(given, dtype, rho, num_replicas)
            assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
            for kind, bound in bounds.items():
                names = [name for name in ours if name.startswith(kind)]
                apart = norm([ours[name] - theirs[name] for name in names])
                apart /= norm([theirs[name] - start.get(name, 0.0) for name in names])
                wrong = not apart <= bound
                failed |= wrong
                print(
                    f"{step + ' ' + dtype:<16}{num_steps:>5}  {kind:<10}{apart:>12.1e}"
                    f"{bound:>10.0e}{'  FAILED' if wrong else ''}",
                    flush=True,
                )
    return int(failed)


def norm(arrays):
    return math.sqrt(sum(float((a.astype("float64") ** 2).sum()) for a in arrays))


def main(argv):
    del argv
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    sides = [side for side in SIDES if side in _SIDES.value]
    if not has_flax():
        print(f"{_FLAX_PYTHON.value} has no current jax and flax (see --help).")
        if _CHECK.value or sides == ["JAX"]:
            return 1
        sides = ["ours"]
    if _CHECK.value:
        return check()
    for topology in _TOPOLOGIES.value:
        replicas, _ = TOPOLOGIES[topology]
        print(f"\n{topology}: {replicas} replicas of {_BATCH_SIZE.value} images")
        headings = "".join(f"{heading:>12}" for _, heading, _ in COLUMNS)
        print(f"{'step':<18}{'side':<10}{headings}", flush=True)
        for step in _STEPS.value:
            for dtype in _DTYPES.value:
                compare(topology, step, dtype, sides)
    return 0


if __name__ == "__main__":
    app.run(main)
