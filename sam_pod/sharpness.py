"""Measure how sharp a finished run is: python -m sam_pod.sharpness --workdir=RUN.

On the run's own training examples, not augmented, and under its own strategy. The
numbers go to RUN/sharpness.json, pictures and a page to RUN/sharpness.

Exit codes: 0 done; 1 the user's error, one line on stderr; 42 interrupted, the same
command starts it again; 70 a bug, with its traceback.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import flags, logging

from sam_pod import errors
from sam_pod.process import command, exhaustion, heavy_imports, path_flags, watchdog


def main(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    return command.run_at_once(lambda raise_if_stopped: _measure(argv))


def parse(argv: list[str]) -> flags.FlagValues:
    """Return the flags.

    Raises:
        UserError: a flag that is unknown, missing, or has a wrong value.
        SystemExit: after showing the help that was asked for.
    """
    values = flags.FlagValues()
    path_flags.define("workdir", "", "Folder of the run, or gs://.", values)
    path_flags.define(
        "data_dir", "", "The prepared data, if they moved since the run.", values
    )
    flags.DEFINE_list("at", ["last"], "Checkpoints: last, best, every.", values)
    flags.DEFINE_list("measures", None, "Which measures; all if not given.", values)
    _number("examples", 0, "Training examples; 0 for 10,240, or all.", 0, values)
    _number("batch_size", 0, "Examples at once; 0 for the run's.", 0, values)
    flags.DEFINE_string(
        "batch_norm", "running", "The Hessian's BatchNorm: running or batch.", values
    )
    _number("seed", 0, "Of everything that is drawn.", 0, values)
    _number("iterations", 90, "Products of Lanczos.", 1, values)
    _number("eigenvalues", 5, "How many of the largest are reported.", 1, values)
    _number("density_probes", 1, "Start vectors of the density.", 1, values)
    _number("trace_probes", 10, "Vectors of the trace.", 2, values)
    flags.DEFINE_list("m", ["128"], "Sizes of m-sharpness' groups.", values)
    _number("m_examples", 1024, "Examples of all groups, at most.", 1, values)
    flags.DEFINE_list(
        "balls", None, "[adaptive-]P:RHO, P 2 or inf: where the loss may rise.", values
    )
    _number("restarts", 2, "Ascents from random points, beside that from w.", 0, values)
    _number("steps", 20, "Steps of an ascent.", 1, values)
    _number("draws", 10, "Random points of the average case.", 1, values)
    _number("line_points", 51, "Points of the slice in one dimension.", 3, values)
    _number("plane_points", 15, "Points of a side of that in two.", 3, values)
    flags.DEFINE_string(
        "tpu", "", "A TPU: local, its name, or grpc://HOST:8470,...", values
    )
    flags.DEFINE_string("zone", "", "Zone of the TPU that --tpu names.", values)
    flags.DEFINE_string("project", "", "Project of the TPU that --tpu names.", values)
    command.parse(values, argv, __doc__)
    command.require(values, "workdir")
    return values


def _number(
    name: str, default: int, text: str, low: int, values: flags.FlagValues
) -> None:
    flags.DEFINE_integer(name, default, text, lower_bound=low, flag_values=values)


def _measure(argv: list[str]) -> None:
    values = parse(argv)
    command.set_environment()
    command.log_to_stdout()
    gc.disable()  # As main.py does, while TensorFlow is imported and traced.
    heavy_imports.tensorflow()
    from sam_pod.instruments import job, plan, report, subject
    from sam_pod.machines import runtime, tpu

    asked = _plan(values, plan.Plan)
    asked.check()
    config = subject.read_config(values.workdir, values.data_dir)
    points = subject.points(values.workdir, list(asked.at))
    address = tpu.Address(values.tpu, values.zone, values.project)
    seconds = config.watchdog.connect_seconds
    with watchdog.limit(seconds, "Connecting", "watchdog.connect_seconds"):
        connected = runtime.connect(
            config.runtime.strategy,
            tpu_address=address if values.tpu else None,
            cpu_replicas=config.runtime.cpu_replicas,
            deterministic=config.runtime.deterministic,
            connect_seconds=seconds,
        )
    with exhaustion.explained(config, connected.strategy.num_replicas_in_sync):
        job.measure(values.workdir, config, points, asked, connected)
    for path in (report.FILE, os.path.join(job.FOLDER, job.PAGE)):
        logging.info("Written: %s", os.path.join(values.workdir, path))


def _plan(values: flags.FlagValues, make: Callable) -> object:
    names = (
        *("examples", "batch_size", "batch_norm", "seed", "iterations", "eigenvalues"),
        *("density_probes", "trace_probes", "m_examples", "restarts", "steps", "draws"),
        *("line_points", "plane_points"),
    )
    chosen = {name: values[name].value for name in names}
    for name in ("measures", "balls"):
        if values[name].value is not None:
            chosen[name] = tuple(values[name].value)
    return make(at=tuple(values.at), m=tuple(_sizes(values.m)), **chosen)


def _sizes(words: Sequence[str]) -> Iterator[int]:
    for word in words:
        if not word.isdecimal():
            raise errors.UserError(
                f"--m: {word!r} is no number of examples; give some, such as 16,64."
            )
        yield int(word)


if __name__ == "__main__":
    command.leave(main(sys.argv))
