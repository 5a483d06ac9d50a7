"""Compile each member's step for a TPU, beside the plain one; no TPU is needed.

python -m tests.bench.tpu_members [--topologies=v5e:4x4] [--members=sam,looksam]
    [--micro_batches=1] [--per_replica_batch_size=128] [--dtype=bfloat16]

ResNet20 of configs/resnet20.py:sgd without augmentation, a program for each step that a
member takes. The columns behind the slash are its ratio to the plain step's, and the
last one that of operations to what the member's passes promise. A compile takes
minutes, and is remembered.
"""

import argparse
import dataclasses
import os

from tests.bench import tpu_compile_figures
from tests.bench.family_members import MEMBERS

CONFIG = "configs/resnet20.py:sgd"
PLAIN, BETWEEN, OWN = "plain step", "step between", "SAM step"
LEFT_OUT = ("plain", "plain_sgd", "interval", "window")  # Their programs are others'.


def subject_of(args, replicas, keys):
    """Return what `main` would train with these keys over the page's."""
    from sam_pod.config import recipes, rules
    from sam_pod.preflight import subject

    config = recipes.load(CONFIG)
    config.dtype = args.dtype
    config.global_batch_size = args.per_replica_batch_size * replicas
    config.data.augment = ""
    config.sam.micro_batches = args.micro_batches
    config.update_from_flattened_dict(keys)
    rules.validate(config)
    return subject.build(config, subject.KNOWN["cifar10"])


def programs_of(args, topology, keys):
    """Return the programs of a member by name, each with its passes."""
    replicas = topology.num_replicas
    subject = subject_of(args, replicas, keys)
    variant = subject.recipe(replicas).variant
    passes = {OWN: variant.passes}
    if variant.between:
        passes[BETWEEN] = variant.between.passes
    lowered = subject.programs(replicas, names=passes)
    return {name: (lowered[name], passes[name]) for name in lowered}


def jobs_of(args, topology):
    """Return what to compile, as (label, program, passes); the plain step first."""
    plain = subject_of(args, topology.num_replicas, {}).programs(
        topology.num_replicas, names=[PLAIN]
    )
    found = [("plain", plain[PLAIN], 1.0)]
    for member in args.members.split(","):
        own = programs_of(args, topology, MEMBERS[member].keys)
        for name, (program, passes) in own.items():
            label = member if name == OWN else f"{member}, {name}"
            found.append((label, program, passes))
    return found


def print_topology(args, topology):
    """Compile for one topology, one program after another, and print its rows."""
    from sam_pod.preflight import compiler

    head = "".join(f"{name:>20}" for _, name, _ in tpu_compile_figures.COLUMNS)
    print(f"\n{topology.name}\n{'':<24}{head}{'passes':>8}{'/ them':>8}", flush=True)
    plain = None
    for label, program, passes in jobs_of(args, topology):
        job = compiler.Job(label, program, topology)
        (one,) = compiler.compile_all(
            [job], num_processes=1, progress=lambda line: None
        )
        figures = dataclasses.astuple(tpu_compile_figures.of(one))
        plain = plain or figures
        cells = "".join(
            f"{format(value, form):>12} /{value / base:6.3f}"
            for value, base, (_, _, form) in zip(
                figures, plain, tpu_compile_figures.COLUMNS, strict=True
            )
        )
        share = figures[0] / plain[0] / passes
        print(f"{label:<24}{cells}{passes:>8.2f}{share:>8.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--topologies", default="v5e:4x4")
    parser.add_argument(
        "--members", default=",".join(x for x in MEMBERS if x not in LEFT_OUT)
    )
    parser.add_argument("--micro_batches", type=int, default=1)
    parser.add_argument("--per_replica_batch_size", type=int, default=128)
    parser.add_argument("--dtype", default="bfloat16")
    args = parser.parse_args()
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    from sam_pod.preflight import topologies

    for name in args.topologies.split(","):
        print_topology(args, topologies.parse(name))


if __name__ == "__main__":
    main()
