"""One run of preflight: lower, compile, measure, judge, report."""

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

import ml_collections

from sam_pod import errors
from sam_pod.config import keys as config_lib
from sam_pod.data.input import dataset
from sam_pod.preflight import (
    checks,
    compiler,
    execution,
    find_batch,
    page,
    report,
    runtime,
)
from sam_pod.preflight import subject as subject_lib
from sam_pod.preflight.measured import Measured
from sam_pod.preflight.topologies import Topology
from sam_pod.process.display import Display
from sam_pod.run import augmentation
from sam_pod.storage import faults

_STEPS = subject_lib.STEPS
_COMPARED = {
    "loss": "the loss differs",
    "gradient": "the gradient differs",
    "weights": "the update of the weights differs",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line; an empty path writes nothing."""

    find_batch: bool = False
    execute_replicas: int = 0  # None are executed.
    execute_steps: int = 3
    output: str = ""
    html: str = ""
    hlo: str = ""
    num_processes: int = 1
    # The shape of data that is not on this machine.
    image_shape: tuple[str, ...] = ()
    num_classes: int = 0
    train_examples: int = 0


def run(
    config: ml_collections.ConfigDict,
    targets: Sequence[Topology],
    options: Options,
    check: Callable[[], None],
) -> None:
    """Do what the command line asks for, and print it.

    Args:
        config: A validated config.
        targets: The topologies to compile for.
        options: The other options of the command line.
        check: A function that raises when a signal came.

    Raises:
        UserError: a check failed, or the user can fix something.
    """
    by_jax = runtime.check(config, targets)
    subject = subject_lib.build(config, _given_shape(options))
    for target in targets:
        subject.per_replica_batch_size(target.num_replicas)
    _check_writable(options)
    compiler_version = compiler.version(by_jax) if targets else ""
    display = Display()

    def progress(line: str) -> None:
        check()
        display(line)

    found: dict = {
        "schema_version": report.SCHEMA_VERSION,
        "config": config_lib.flatten(config),
        "libtpu": compiler_version,
        "runtime": runtime.name(config),
        "topologies": [],
    }
    passed = True
    if options.execute_replicas:
        found["execution"] = _execute(subject, options)
        passed = found["execution"]["is_passed"]
    try:
        found["topologies"] = _compile(subject, targets, options, progress)
    finally:
        display.clear()
    for one in found["topologies"]:
        print(report.table(one), end="\n\n")
    _write(found, options)
    if not passed or not report.is_passed(found["topologies"]):
        raise errors.UserError(
            "A check failed; the lines that begin with FAIL say which."
        )


def _compile(
    subject: subject_lib.Subject,
    targets: Sequence[Topology],
    options: Options,
    progress: Callable[[str], None],
) -> list[dict]:
    jobs, by_jax = [], runtime.is_jax(subject.config)
    for target in targets:
        progress(f"Lowering for {target.name} ...")
        programs = subject.programs(target.num_replicas)
        jobs += [
            compiler.Job(f"{name} for {target.name}", program, target, by_jax)
            for name, program in programs.items()
        ]
    results = compiler.compile_all(
        jobs, num_processes=options.num_processes, progress=progress
    )
    reports = []
    for target in targets:
        programs = {
            job.name.partition(" for ")[0]: Measured(
                job.program,
                result,
                target,
                subject.config.sam.micro_batches,
                _chunks(job.name, subject),
            )
            for job, result in zip(jobs, results, strict=True)
            if job.topology == target
        }
        one = report.of_topology(target, programs, _judge(programs, subject))
        one["accumulate_steps"] = subject.config.accumulate_steps
        one["micro_batches"] = subject.config.sam.micro_batches
        if options.find_batch:
            one["largest_batch"] = _find_batch(subject, target, programs, progress)
        if options.hlo:
            _keep(programs, pathlib.Path(options.hlo), target)
        reports.append(one)
    return reports


def _chunks(name: str, subject: subject_lib.Subject) -> int:
    return subject.config.accumulate_steps if name.startswith(_STEPS) else 1


def _judge(
    programs: Mapping[str, Measured], subject: subject_lib.Subject
) -> dict[str, list[checks.Check]]:
    config, plain = subject.config, programs["plain step"]
    found = {}
    for name, measured in programs.items():
        if name not in _STEPS:
            found[name] = checks.of_program(measured)
            continue
        other = None if measured is plain else plain
        found[name] = checks.of_step(measured, other, config.dtype)
    return found


def _find_batch(
    subject: subject_lib.Subject,
    target: Topology,
    programs: Mapping[str, Measured],
    progress: Callable[[str], None],
) -> dict[str, int | None]:
    """Return the largest batch of a replica that fits, and one that does not.

    Batches of more examples than there are to train on are useless, and not tried.
    """
    config = subject.config
    held_out = dataset.held_out(config) or 0
    examples = subject.manifest.num_examples("train") - held_out
    name = next(name for name in _STEPS if name in programs)

    def needs(batch: int) -> float:
        lowered = subject.programs(target.num_replicas, batch, [name])[name]
        by_jax = runtime.is_jax(config)
        job = compiler.Job(f"{name} of batch {batch}", lowered, target, by_jax)
        (result,) = compiler.compile_all([job], num_processes=1, progress=progress)
        measured = Measured(lowered, result, target)
        if measured.needed_bytes is None:
            raise errors.UserError(
                f"The step with a batch of {batch} a replica does not compile: "
                f"{' '.join(measured.error.split())[:300]}"
            )
        share = measured.needed_bytes / measured.limit_bytes
        return max(share, 1.0 + 1e-9) if measured.error else min(share, 1.0)

    fits, fails = find_batch.largest(
        needs,
        programs[name].per_replica_batch_size,
        unit=augmentation.batch_unit(config) * config.accumulate_steps,
        ceiling=examples // target.num_replicas,
    )
    return {"fits": fits, "fails": fails}


def _execute(subject: subject_lib.Subject, options: Options) -> dict:
    replicas = options.execute_replicas
    compared = execution.compare(
        subject, num_replicas=replicas, num_steps=options.execute_steps
    )
    for name, difference in compared.differences.items():
        bound = compared.bounds[name]
        word = "pass" if difference <= bound else "FAIL"
        print(
            f"{word}  executed on {replicas} virtual devices, "
            f"{compared.num_steps} steps: {_COMPARED[name]} by {difference:.2e} of its "
            f"norm (at most {bound:.2e})"
        )
    word = "pass" if compared.are_replicas_equal else "FAIL"
    print(f"{word}  executed: replicas are equal to the last bit\n")
    return {
        "replicas": replicas,
        "steps": compared.num_steps,
        "differences": compared.differences,
        "bounds": compared.bounds,
        "gradient_rounding": compared.rounding,
        "are_replicas_equal": compared.are_replicas_equal,
        "is_passed": compared.is_passed,
    }


def _given_shape(options: Options) -> subject_lib.Shape | None:
    given = [options.image_shape, options.num_classes, options.train_examples]
    if not any(given):
        return None
    shape = options.image_shape
    are_sides = len(shape) == 3 and all(s.isdecimal() and int(s) for s in shape)
    if not all(given) or not are_sides:
        raise errors.UserError(
            f"--image_shape={','.join(shape)} --num_classes={given[1]} "
            f"--train_examples={given[2]} do not describe data; give all three, as "
            "in --image_shape=224,224,3 --num_classes=1000 --train_examples=1281167."
        )
    return subject_lib.Shape(tuple(map(int, shape)), given[1], given[2])


def _check_writable(options: Options) -> None:
    """Refuse a place that cannot be written to before minutes are spent."""
    paths = [os.path.abspath(p) for p in (options.output, options.html) if p]
    if len(set(paths)) < len(paths):
        raise errors.UserError(
            f"--output and --html are both {options.html}; name two files."
        )
    for path in paths:
        try:
            with tempfile.TemporaryFile(dir=os.path.dirname(path)):
                is_writable = not os.path.isdir(path)
        except OSError:
            is_writable = False
        if not is_writable:
            raise errors.UserError(
                f"{path} cannot be written; name a file in a folder that exists and "
                "that you may write to."
            )
    if options.hlo:
        with faults.explained(options.hlo):
            os.makedirs(options.hlo, exist_ok=True)
        if not os.access(options.hlo, os.W_OK):
            raise errors.UserError(f"--hlo={options.hlo} cannot be written to.")


def _keep(programs: Mapping[str, Measured], folder: pathlib.Path, at: Topology) -> None:
    with faults.explained(str(folder)):
        for name, measured in programs.items():
            stem = f"{at.name.replace(':', '-')}-{name.replace(' ', '-')}"
            lowered = measured.lowered_text
            (folder / f"{stem}.lowered.txt").write_text(lowered)
            (folder / f"{stem}.compiled.txt").write_text(measured.compiled.text)


def _write(found: dict, options: Options) -> None:
    if options.output:
        with faults.explained(options.output):
            _replace(options.output, json.dumps(found, indent=2) + "\n")
    if options.html:
        with faults.explained(options.html):
            _replace(options.html, page.html(found))


def _replace(path: str, text: str) -> None:
    """Write a file whole, or leave the old one as it was."""
    partial = pathlib.Path(f"{path}.partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
