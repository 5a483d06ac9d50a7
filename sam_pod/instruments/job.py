"""Measure a run: each checkpoint, each measure, written as soon as it is there."""

import io
import os
import time

import ml_collections
import numpy as np
import PIL.Image
from absl import logging

from sam_pod.instruments import figures, numbers, page
from sam_pod.instruments import report as report_lib
from sam_pod.instruments import subject as subject_lib
from sam_pod.instruments.measures import Measures
from sam_pod.instruments.numbers import Found
from sam_pod.instruments.objective import BATCH_NORMS
from sam_pod.instruments.plan import Plan
from sam_pod.instruments.report import Report
from sam_pod.instruments.subject import Point, Subject
from sam_pod.machines.runtime import Runtime
from sam_pod.run import event_files, writers
from sam_pod.storage import faults, files

FOLDER = "sharpness"  # Pictures, the page, and TensorBoard's events.
PAGE = "sharpness.html"
AVERAGE = "weights_are"  # A report's key, where a run evaluates others.


def measure(
    workdir: str,
    config: ml_collections.ConfigDict,
    points: list[Point],
    plan: Plan,
    runtime: Runtime,
) -> Report:
    """Measure a run at some checkpoints, and return the report in its workdir.

    Args:
        workdir: The folder of a finished run.
        config: As returned by `subject.read_config`.
        points: The checkpoints.
        plan: What is measured.
        runtime: What it is measured on.

    Raises:
        UserError: the run or its data are not as they must be.
    """
    subject = subject_lib.open_run(workdir, config, runtime, plan.examples)
    measures = Measures(subject, plan)
    settings = {name: measures.settings(name) for name in plan.measures}
    own = _head(subject) | of_the_average(config)
    if AVERAGE in own:
        logging.info("What is measured: %s.", own[AVERAGE])
    if runtime.workers.is_chief:
        files_of = {point.name: point.file for point in points}
        report_lib.keep_what_differs(workdir, files_of, settings)
    for point in points:
        subject.restore(point)
        measures.moved()
        found: Found = {"checkpoint": point.file, "step": point.step}
        own["points"][point.name], own["settings"][point.name] = found, {}
        for name in plan.measures:
            begun = time.monotonic()
            found[name] = measures.all_of(name)
            found[name]["seconds"] = round(time.monotonic() - begun, 3)
            own["settings"][point.name][name] = settings[name]
            for line in numbers.lines(found[name]):
                logging.info("%s: %s: %s", point.name, name, line)
            if runtime.workers.is_chief:
                report = report_lib.add(workdir, own)
    if not runtime.workers.is_chief:
        return own
    _show(workdir, report, runtime)
    return report


def _head(subject: Subject) -> Report:
    return {
        "schema_version": report_lib.SCHEMA_VERSION,
        "loss": "mean cross-entropy of training examples that are not augmented, no L2",
        "batch_norm_of_losses": BATCH_NORMS["running"],
        "arithmetic": "float32; Lanczos in float64",
        "replicas": subject.num_replicas,
        "weights": sum(int(np.prod(w.shape)) for w in subject.weights),
        "points": {},
        "settings": {},
    }


def of_the_average(config: ml_collections.ConfigDict) -> Report:
    """Return what a report says where a run evaluates other weights than these."""
    if not config.ema.decay:
        return {}
    return {
        AVERAGE: "the weights that the steps move, not their average (`ema.decay` is "
        f"{config.ema.decay}), which the run evaluates"
    }


def _show(workdir: str, report: Report, runtime: Runtime) -> None:
    """Write the pictures, the page and what TensorBoard shows, all anew."""
    folder = os.path.join(workdir, FOLDER)
    drawn = list(figures.draw(report))
    with faults.explained(folder):
        files.make_folders(folder)
        for name, png in drawn:
            files.write_bytes(os.path.join(folder, name), png)
        files.write(os.path.join(folder, PAGE), page.html(report, drawn))
    event_files.cut(folder, event_files.NOTHING)
    writer = writers.Writer(folder, runtime)
    try:
        for step, names in sorted(names_by_step(report).items()):
            values, pictures = {}, {}
            for name in names:
                values |= numbers.scalars(report["points"][name])
                pictures |= _pictures(drawn, name)
            writer.scalars(step, values)
            writer.images(step, pictures)
    finally:
        writer.close()


def names_by_step(report: Report) -> dict[int, list[str]]:
    """Return the checkpoints that were measured, by step.

    One may have several names. Of a step TensorBoard shows one value: that of the name
    which comes last here, a checkpoint's own before 'last' before 'best'.
    """
    found: dict[int, list[str]] = {}
    others = [name for name in report["points"] if name not in ("best", "last")]
    for name in ("best", "last", *others):
        if name in report["points"]:
            found.setdefault(report["points"][name]["step"], []).append(name)
    return found


def _pictures(drawn: list[tuple[str, bytes]], name: str) -> dict[str, np.ndarray]:
    """Return a checkpoint's pictures by TensorBoard's names."""
    return {
        f"{event_files.SHARPNESS}{kind}": np.asarray(PIL.Image.open(io.BytesIO(png)))
        for file, png in drawn
        for kind, _, of in [file.removesuffix(".png").partition("-")]
        if of == name
    }
