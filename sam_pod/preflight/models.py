"""The table of models: what each takes, and where a slice is given, what a step needs.

Parameters and operations are counted in the network itself; memory is the compiler's.
"""

import gc
from collections.abc import Callable, Iterator, Sequence

import keras
import ml_collections
import numpy as np

from sam_pod import errors
from sam_pod.models import operations, table
from sam_pod.preflight import compiler, runtime
from sam_pod.preflight import subject as subject_lib
from sam_pod.preflight.measured import Measured
from sam_pod.preflight.topologies import Topology

ALL = "all"
_HEAD = ("name", "least image", "parameters", "GFLOP", "of")
_STEPS = ("SAM step", "plain step")


def check_names(names: Sequence[str]) -> list[str]:
    """Return the names of networks that are asked for, of `ALL` each.

    Raises:
        UserError: there is no such network.
    """
    if ALL in names:
        return list(table.MODELS)
    for name in names:
        errors.lookup({ALL: None, **table.MODELS}, name, "--models")
    return list(names)


def lines(
    names: Sequence[str],
    check: Callable[[], None],
    config: ml_collections.ConfigDict | None = None,
    targets: Sequence[Topology] = (),
) -> Iterator[str]:
    """Yield the table in Markdown, a line as soon as it is known.

    Args:
        names: The names of networks.
        check: A function that raises when a signal came.
        config: A validated config, whose step and batch each network is compiled with.
        targets: The slices to compile for; none need no config.

    Raises:
        UserError: the batch does not divide, or the compiler is not there.
    """
    if targets:
        compiler.version(runtime.check(config, targets))
    memory = [
        f"MB on {at.name}, {config.global_batch_size // at.num_replicas} a replica"
        for at in targets
    ]
    for cells in ((*_HEAD[:-1], *memory, _HEAD[-1]), ("---",) * (5 + len(memory))):
        yield _line(cells)
    for name in names:
        check()
        *first, last = _cells(name)
        found = [_memory(name, config, at, check) for at in targets]
        yield _line((*first, *found, last))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(name: str) -> tuple[str, ...]:
    row = table.MODELS[name]
    model = table.build(name, row.image_shape, row.num_classes).model
    parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    gradient = 3 * operations.of_forward(model, row.image_shape)
    del model
    keras.backend.clear_session()
    gc.collect()
    least = f"{row.least} x {row.least}"
    return f"`{name}`", least, f"{parameters:,}", f"{gradient / 1e9:.3g}", row.of


def _memory(
    name: str,
    config: ml_collections.ConfigDict,
    target: Topology,
    check: Callable[[], None],
) -> str:
    """Return the temporary memory of the step with SAM, and of the one without."""
    row = table.MODELS[name]
    config = config.copy_and_resolve_references()
    config.model.name, config.data.image_size = name, 0
    shape = subject_lib.Shape(row.image_shape, row.num_classes, 1_281_167)
    subject = subject_lib.build(config, shape)
    programs = subject.programs(target.num_replicas, names=_STEPS)
    by_jax = runtime.is_jax(config)
    jobs = [
        compiler.Job(f"{name}, {n}", p, target, by_jax) for n, p in programs.items()
    ]
    results = compiler.compile_all(jobs, num_processes=1, progress=lambda line: check())
    found = []
    for job, result in zip(jobs, results, strict=True):
        measured = Measured(job.program, result, target)
        bytes_ = measured.figures.get("temporary_bytes")
        found.append("does not fit" if bytes_ is None else f"{bytes_ / 1e6:.0f}")
    return " / ".join(found)
