"""Compile training steps for a TPU, ours and JAX's side by side; no TPU is needed.

python -m tests.bench.tpu_compile --flax_python=PYTHON [--topologies=v5e:4x4] ...

Both sides are ResNet20, or the network of --model, with momentum SGD on the same batch
a replica, compiled by the same libtpu, that of sam_pod.preflight. A compile takes
minutes, and is remembered; --steps, --dtypes and --sides choose fewer (a flag is
repeated for several values).

JAX's side is lowered by the environment of --flax_python, whose jax need not be ours
(python -m venv flax && flax/bin/pip install jax flax; written with 0.10.2 and 0.12.8).
--check compiles nothing for a TPU: it runs both sides on the CPU, on two replicas with
a batch each, from the same weights, and fails if they lead apart.
"""

import dataclasses
import os
import pathlib
import sys

from absl import app, flags

from tests.bench import (
    tpu_compile_check,
    tpu_compile_figures,
    tpu_compile_ours,
    tpu_compile_theirs,
)
from tests.bench.tpu_compile_figures import COLUMNS

_FLAX_PYTHON = flags.DEFINE_string(
    "flax_python", sys.executable, "A Python that has jax and flax."
)
_CHECK = flags.DEFINE_bool("check", False, "Compare what the two sides compute.")
_MODEL = flags.DEFINE_enum(
    "model", "resnet20", list(tpu_compile_ours.MODELS), "The network."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images a replica takes.")
_KEEP = flags.DEFINE_string("keep", None, "A folder for the programs' texts.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Compiles at once.")

STEPS = {"plain": 0.0, "SAM": 0.05}  # Their rho.
SIDES = ("ours", "JAX")
_TOPOLOGIES = flags.DEFINE_multi_string(
    "topologies", ["v5e:4x4", "v4:2x2x2"], "What to compile for."
)
_STEPS = flags.DEFINE_multi_enum("steps", list(STEPS), list(STEPS), "Which steps.")
_DTYPES = flags.DEFINE_multi_enum(
    "dtypes", ["float32", "bfloat16"], ["float32", "bfloat16"], "Of the layers."
)
_SIDES = flags.DEFINE_multi_enum("sides", list(SIDES), list(SIDES), "Whose.")


def print_row(step, side, values):
    cells = (
        f"{value:>12{form}}"
        for value, (_, _, form) in zip(values, COLUMNS, strict=True)
    )
    print(f"{step:<18}{side:<10}{''.join(cells)}", flush=True)


def lower(side, step, dtype, num_replicas):
    given = _MODEL.value, dtype, STEPS[step], num_replicas, _BATCH_SIZE.value
    if side == "ours":
        return tpu_compile_ours.lower(*given)
    return tpu_compile_theirs.lower(_FLAX_PYTHON.value, *given)


def compare(topology, step, dtype, sides):
    """Compile one step's sides and print a row for each, and their ratio."""
    from sam_pod.preflight import compiler

    jobs = [
        compiler.Job(side, lower(side, step, dtype, topology.num_replicas), topology)
        for side in sides
    ]
    compiled = compiler.compile_all(
        jobs, num_processes=_JOBS.value, progress=lambda line: None
    )
    found = []
    for side, one in zip(sides, compiled, strict=True):
        if _KEEP.value:
            folder = pathlib.Path(_KEEP.value)
            folder.mkdir(parents=True, exist_ok=True)
            place = topology.name.replace(":", "-")
            name = f"{_MODEL.value}_{place}_{step}_{dtype}_{side}.txt"
            (folder / name).write_text(one.text)
        found.append(dataclasses.astuple(tpu_compile_figures.of(one)))
        print_row(f"{step} {dtype}", side, found[-1])
    if len(found) == 2:
        cells = "".join(f"{a / b:>12.3f}" for a, b in zip(*found, strict=True))
        print(f"{'':<18}{'ours/JAX':<10}{cells}", flush=True)


def main(argv):
    del argv
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    sides = [side for side in SIDES if side in _SIDES.value]
    if not tpu_compile_theirs.has_flax(_FLAX_PYTHON.value):
        print(f"{_FLAX_PYTHON.value} has no current jax and flax (see --help).")
        if _CHECK.value or sides == ["JAX"]:
            return 1
        sides = ["ours"]
    if _CHECK.value:
        rhos = {step: STEPS[step] for step in _STEPS.value}
        return tpu_compile_check.check(_FLAX_PYTHON.value, rhos)
    from sam_pod.preflight import topologies

    for name in _TOPOLOGIES.value:
        topology = topologies.parse(name)
        print(
            f"\n{_MODEL.value}, {name}: {topology.num_replicas} replicas of "
            f"{_BATCH_SIZE.value} images"
        )
        headings = "".join(f"{heading:>12}" for _, heading, _ in COLUMNS)
        print(f"{'step':<18}{'side':<10}{headings}", flush=True)
        for step in _STEPS.value:
            for dtype in _DTYPES.value:
                compare(topology, step, dtype, sides)
    return 0


if __name__ == "__main__":
    app.run(main)
