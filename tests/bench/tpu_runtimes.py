"""The step of `configs/resnet20.py:sgd` by several TPU compilers, as rows of a table.

python -m tests.bench.tpu_runtimes v5e:2x4 v6e:2x4 tpu7x:2x2x1

Compiles for the runtime of the environment that it runs in: TensorFlow's in the main
one, JAX's in .venv-pjrt. It takes minutes a slice, one at a time, and is remembered.
"""

import sys

from sam_pod.config import command_line
from sam_pod.pjrt import environment
from sam_pod.preflight import compiler, memory, subject, topologies
from sam_pod.preflight.measured import Measured
from tests import runs

BATCH = 128  # A replica's.
HEAD = (
    *("slice, runtime, libtpu", "GFLOP", "GB accessed", "of these in HBM"),
    *("MB temporary", "MB program", "all-reduces", "compiled in CPU s"),
)


def config_for(slice_, *, by_jax):
    words = [
        f"--config={runs.ROOT}/configs/resnet20.py:sgd",
        "--config.dtype=bfloat16",
        f"--config.global_batch_size={BATCH * slice_.num_replicas}",
        f"--config.runtime.strategy={'pjrt' if by_jax else 'auto'}",
    ]
    return command_line.parse(["tpu_runtimes", *words])[0].config


def measured(slice_, *, by_jax):
    config = config_for(slice_, by_jax=by_jax)
    built = subject.build(config, subject.KNOWN["cifar10"])
    (program,) = built.programs(slice_.num_replicas, names=["SAM step"]).values()
    job = compiler.Job(f"step for {slice_.name}", program, slice_, by_jax)
    (result,) = compiler.compile_all([job], num_processes=1, progress=lambda line: None)
    return Measured(program, result, slice_)


def row(found, *, by_jax):
    runtime = "JAX" if by_jax else "TensorFlow"
    name = f"{found.topology.name}, {runtime}, {compiler.version(by_jax)}"
    if found.error:
        return (name, " ".join(found.error.split())[:200], *[""] * (len(HEAD) - 2))
    figures, exchanges = found.figures, str(len(found.collectives))
    hbm = "-"
    if found.compiled.text:
        hbm = f"{memory.hbm_traffic(found.module) / 1e9:.3f}"
    else:
        exchanges = f"{exchanges} before"
    return (
        name,
        f"{figures['flops'] / 1e9:.2f}",
        f"{figures['bytes_accessed'] / 1e9:.3f}",
        hbm,
        f"{figures['temporary_bytes'] / 1e6:.1f}",
        f"{figures['code_bytes'] / 1e6:.1f}",
        exchanges,
        f"{figures['cpu_seconds']:.0f}",
    )


def main(names):
    by_jax = not environment.problem()
    print(f"| {' | '.join(HEAD)} |")
    print(f"|{'---|' * len(HEAD)}", flush=True)
    for name in names:
        found = measured(topologies.parse(name), by_jax=by_jax)
        print(f"| {' | '.join(row(found, by_jax=by_jax))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
