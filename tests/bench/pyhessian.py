"""Compare the largest eigenvalue and the time of a product with PyHessian's.

python -m tests.bench.pyhessian --workdir=RUN --torch_python=PYTHON [--examples=1024]
    [--batch_size=128] [--iterations=30] [--rounds=5]

RUN is a finished run of resnet20. Both sides take the same weights, statistics and
training examples, in float32 with two threads, BatchNorm as in evaluation. Ours is what
`sam_pod.sharpness` runs. PyHessian is that of --torch_python (python -m venv torch &&
torch/bin/pip install torch numpy pyhessian==0.1). Products take turns over the rounds;
the eigenvalues are found by each side's own method, Lanczos and power iteration.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

THREADS = 2
ROOT = pathlib.Path(__file__).parent.parent.parent


def measured(args):
    """Return the subject of RUN, restored, and its products."""
    import tensorflow as tf

    from sam_pod.instruments import objective, products, subject
    from sam_pod.machines import runtime

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    config = subject.read_config(args.workdir)
    of_run = subject.open_run(
        args.workdir, config, runtime.connect("one"), args.examples
    )
    of_run.restore(subject.points(args.workdir, ["last"])[0])
    loss = objective.Objective(of_run.recipe, args.examples)
    return of_run, products.Products(of_run, of_run.split, loss, args.batch_size)


def examples_of(subject, batch_size):
    """Return the examples as the network gets them: `[N, C, H, W]`, and labels."""
    import tensorflow as tf

    from sam_pod.data.input import pipeline

    data = pipeline.evaluation(subject.split, global_batch_size=batch_size)
    context = tf.distribute.InputContext()
    images, labels = [], []
    count = pipeline.evaluation_steps(subject.split, batch_size)
    for batch in data(context).take(count):
        kept = batch.mask.numpy().astype(bool)
        seen = subject.recipe.evaluation_images(batch.images).numpy()
        images.append(seen[kept].transpose(0, 3, 1, 2))
        labels.append(batch.labels.numpy()[kept])
    return np.concatenate(images), np.concatenate(labels).astype(np.int64)


def export(subject, batch_size, path):
    """Write what the other side needs to a file."""
    from tests.bench import tpu_compile_ours

    names = tpu_compile_ours.flax_names(subject.recipe.network)
    values = [v.numpy() for v in (*subject.weights, *subject.stats)]
    images, labels = examples_of(subject, batch_size)
    np.savez(
        path, images=images, labels=labels, **dict(zip(names, values, strict=True))
    )


class Other:
    """PyHessian's process: a line with a word gets a line with what it did."""

    def __init__(self, args, path):
        self._process = subprocess.Popen(
            [
                args.torch_python,
                "-m",
                "tests.bench.pyhessian_torch",
                path,
                str(args.batch_size),
                str(THREADS),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ask(self, word):
        print(word, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def end(self):
        self._process.communicate()


def timed(function):
    wall, cpu = time.perf_counter(), time.process_time()
    value = function()
    return value, (time.perf_counter() - wall, time.process_time() - cpu)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--torch_python", required=True)
    parser.add_argument("--examples", type=int, default=1024)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    from sam_pod.instruments import eigenvalues

    subject, product = measured(args)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "subject.npz")
        export(subject, args.batch_size, path)
        other = Other(args, path)
        vector = np.random.default_rng(0).normal(size=product.size)
        ours, theirs = [], []
        product(vector), other.ask("product")  # To compile.
        for _ in range(args.rounds):
            ours.append(timed(lambda: product(vector))[1])
            theirs.append(other.ask("product"))
        found = eigenvalues.find(
            product, product.size, iterations=args.iterations, seed=0
        )
        described = eigenvalues.describe(found, 1, 1.0)
        its = other.ask("eigenvalue")
        other.end()
    (value,), (residual,) = described["largest"], described["residuals"]
    print(f"{args.examples} examples, batches of {args.batch_size}, medians")
    for place, what in enumerate(("time", "CPU time")):
        pairs = zip(theirs, ours, strict=True)
        ratio = statistics.median(a[place] / b[place] for a, b in pairs)
        each = [statistics.median(t[place] for t in side) for side in (ours, theirs)]
        print(
            f"a product, {what:<9} ours {each[0]:.3f} s, PyHessian {each[1]:.3f} s, "
            f"ratio {ratio:.2f}   (goal >= 1.5)"
        )
    print(
        f"largest eigenvalue: ours {value:.6g} (residual {residual:.1g}, "
        f"{args.iterations} products), PyHessian {its[0]:.6g} ({its[1]} products), "
        f"ratio {its[0] / value:.4f}   (goal 0.99 to 1.01)"
    )


if __name__ == "__main__":
    main()
