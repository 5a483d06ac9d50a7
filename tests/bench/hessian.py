"""Compare a product with the Hessian to a gradient: ResNet20, the same examples.

python -m tests.bench.hessian [--rounds=9] [--batch_size=128]

Both are of the loss that the instruments measure (`instruments/objective.py`): running
statistics, no augmentation, float32. On this machine's CPU they take turns, a batch
each, with two threads, and the figures are medians over the rounds; for a TPU they are
the compiler's counts for one chip of v5e, where libtpu is installed.
"""

import argparse
import statistics
import time

import numpy as np
import tensorflow as tf

from sam_pod import errors
from sam_pod.data.input.batches import Batch
from sam_pod.instruments import objective, products
from sam_pod.lowering import programs
from sam_pod.lowering.programs import Tensor
from sam_pod.preflight import compiler, topologies
from tests.bench.tpu_compile_ours import IMAGE_SHAPE, NUM_CLASSES, build_recipe

THREADS = 2
GOAL = 2.6


def of_state(recipe, batch_size):
    """Return (name, what it computes of its inputs, how many of them are weights)."""
    weights = list(recipe.network.initial_weights().values())
    count = len(weights)
    loss = objective.Objective(recipe, batch_size)

    def batch_of(images, labels):
        return Batch(images, labels, tf.ones([batch_size]))

    def gradient(*tensors):
        *state, images, labels = tensors
        flat, stats = list(state[:count]), list(state[count:])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(flat)
            found = loss.share(flat, stats, batch_of(images, labels))
        return [found, *tape.gradient(found, flat)]

    def product(*tensors):
        *state, images, labels = tensors
        flat, stats = list(state[:count]), list(state[2 * count :])
        vector = state[count : 2 * count]
        found, image = products.product(
            lambda w: loss.share(w, stats, batch_of(images, labels)), flat, vector
        )
        return [found, *image]

    return {"gradient": gradient, "product": product}


def described(recipe, name):
    """Return the state's tensors that a function of `of_state` takes."""
    state = programs.state_tensors(recipe)
    weights = [t for t in state if t.role == "weights"]
    vector = [Tensor(f"vector/{t.name}", "vector", t.shape, t.dtype) for t in weights]
    stats = [t for t in state if t.role == "stats"]
    return [*weights, *(vector if name == "product" else []), *stats]


def on_cpu(recipe, functions, batch_size, rounds):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, *IMAGE_SHAPE), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, batch_size).astype(np.int32)
    values = {
        **recipe.network.initial_weights(),
        **recipe.network.initial_stats(),
    }
    compiled, times = {}, {name: [] for name in functions}
    for name, function in functions.items():
        inputs = [
            tf.constant(
                rng.normal(size=t.shape).astype(np.float32)
                if t.role == "vector"
                else values[t.name]
            )
            for t in described(recipe, name)
        ]
        run = tf.function(function, jit_compile=True, autograph=False)
        compiled[name] = (run, (*inputs, tf.constant(images), tf.constant(labels)))
    for number in range(rounds + 1):  # One to compile.
        for name, (run, inputs) in compiled.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(*inputs)[0].numpy()
            took = time.perf_counter() - wall, time.process_time() - cpu
            if number:
                times[name].append(took)
    for place, what in enumerate(("time", "CPU time")):
        pairs = zip(times["product"], times["gradient"], strict=True)
        ratio = statistics.median(a[place] / b[place] for a, b in pairs)
        each = {n: statistics.median(t[place] for t in ts) for n, ts in times.items()}
        show(f"CPU, {what}", each, ratio, "s")


def on_tpu(recipe, functions, batch_size):
    topology = topologies.parse("v5e:2x2")
    batch = (
        Tensor("images", "images", (batch_size, *IMAGE_SHAPE), "uint8"),
        Tensor("labels", "labels", (batch_size,), "int32"),
    )
    jobs = []
    for name, function in functions.items():
        weights = [t for t in described(recipe, name) if t.role == "weights"]
        outputs = (
            Tensor("loss", "loss", (), "float32"),
            *(Tensor(f"of/{t.name}", "result", t.shape, t.dtype) for t in weights),
        )
        program = programs._program(
            function,
            described(recipe, name),
            batch,
            outputs=outputs,
            num_replicas=1,
        )
        jobs.append(compiler.Job(name, program, topology))
    found = compiler.compile_all(jobs, num_processes=1, progress=print)
    for key, unit in (("flops", "FLOP"), ("bytes_accessed", "bytes")):
        each = {
            job.name: one.figures[key] for job, one in zip(jobs, found, strict=True)
        }
        ratio = each["product"] / each["gradient"]
        show(f"v5e, {unit}", each, ratio, "")


def show(what, each, ratio, unit):
    parts = "  ".join(f"{name} {value:.4g}{unit}" for name, value in each.items())
    print(f"{what:<16}{parts:<44}{ratio:>8.3f}   (goal <= {GOAL})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch_size", type=int, default=128)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    recipe = build_recipe("float32", 0.0)
    functions = of_state(recipe, args.batch_size)
    on_cpu(recipe, functions, args.batch_size, args.rounds)
    try:
        compiler.version()
    except errors.UserError as error:
        print(f"No figures for a TPU: {error}")
    else:
        on_tpu(recipe, functions, args.batch_size)


if __name__ == "__main__":
    main()
