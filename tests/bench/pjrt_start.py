"""Time a start with JAX beside one by TensorFlow, and the second with JAX's cache.

.venv-pjrt/bin/python -m tests.bench.pjrt_start [--theirs=.venv/bin/python]
    [--rounds=3] [--data_dir=data/digits]

A start goes from the command line to the first finished step of ResNet20 on the digits,
which `python -m sam_pod.data.prepare --dataset=digits --output=data/digits` prepares.
TensorFlow's loop runs in the environment of --theirs, JAX in this one: without a
compilation cache, then with the cache of a start before it (JAX_COMPILATION_CACHE_DIR).
In turns; CPU seconds count all threads.
"""

import argparse
import os
import statistics
import sys
import tempfile

from tests.bench import start


def started(contender, data_dir):
    python, flags, variables = contender
    return start.start(start.ROOT, data_dir, python=python, flags=flags, more=variables)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--theirs", default=f"{start.ROOT}/.venv/bin/python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data_dir", default="data/digits")
    args = parser.parse_args()
    data_dir = os.path.abspath(args.data_dir)
    with tempfile.TemporaryDirectory() as cache:
        by_jax = ("--config.runtime.strategy=pjrt",)
        cached = {"JAX_COMPILATION_CACHE_DIR": cache}
        contenders = {
            "TensorFlow": (args.theirs, (), {}),
            "JAX": (sys.executable, by_jax, {}),
            "JAX, cached": (sys.executable, by_jax, cached),
        }
        starts = {name: [] for name in contenders}
        started(contenders["JAX, cached"], data_dir)  # Fills the cache.
        for _ in range(args.rounds):
            for name, contender in contenders.items():
                starts[name].append(started(contender, data_dir))
    for name, found in starts.items():
        print(f"\n{name}: until then, medians{'':<23}{'wall s':>8}{'CPU s':>8}")
        for part in found[0]:
            wall, cpu = start.medians(found, part)
            print(f"  {part:<46}{wall:>8.1f}{cpu:>8.1f}")
    print()
    for name in ("JAX", "JAX, cached"):
        for i, unit in enumerate(("wall", "CPU")):
            pairs = zip(starts[name], starts["TensorFlow"], strict=True)
            ratio = statistics.median(
                a[start.LAST][i] / b[start.LAST][i] for a, b in pairs
            )
            print(f"{name} / TensorFlow, {unit}: {ratio:.3f}")


if __name__ == "__main__":
    main()
