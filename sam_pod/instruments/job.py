"""Measure a run: each checkpoint, each measure, written as soon as it is there."""

import dataclasses
import io
import json
import math
import os
import time
from typing import Any

import ml_collections
import numpy as np
import PIL.Image
from absl import logging

from sam_pod.instruments import figures, numbers, page
from sam_pod.instruments import subject as subject_lib
from sam_pod.instruments.measures import Measures
from sam_pod.instruments.numbers import Found
from sam_pod.instruments.objective import BATCH_NORMS
from sam_pod.instruments.plan import Plan
from sam_pod.instruments.subject import Point, Subject
from sam_pod.machines.runtime import Runtime
from sam_pod.run import writers
from sam_pod.run.event_files import SHARPNESS
from sam_pod.storage import faults, files

FILE = "sharpness.json"
FOLDER = "sharpness"  # Pictures, the page, and TensorBoard's events.
PAGE = "sharpness.html"
SCHEMA_VERSION = 1


def measure(
    workdir: str,
    config: ml_collections.ConfigDict,
    points: list[Point],
    plan: Plan,
    runtime: Runtime,
) -> dict[str, Any]:
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
    report = _head(subject, plan)
    for point in points:
        subject.restore(point)
        measures.moved()
        found: Found = {"checkpoint": os.path.basename(point.path), "step": point.step}
        report["points"][point.name] = found
        for name in plan.measures:
            begun = time.monotonic()
            found[name] = measures.all_of(name)
            found[name]["seconds"] = round(time.monotonic() - begun, 3)
            for line in numbers.lines(found[name]):
                logging.info("%s: %s: %s", point.name, name, line)
            if runtime.workers.is_chief:
                _write(workdir, report)
    _show(workdir, report, runtime)
    return report


def _head(subject: Subject, plan: Plan) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "plan": dataclasses.asdict(plan),
        "examples": subject.split.num_examples,
        "loss": "mean cross-entropy of training examples that are not augmented, no L2",
        "batch_norm": BATCH_NORMS[plan.batch_norm],
        "batch_norm_of_losses": BATCH_NORMS["running"],
        "arithmetic": "float32; Lanczos in float64",
        "replicas": subject.num_replicas,
        "weights": sum(int(np.prod(w.shape)) for w in subject.weights),
        "points": {},
    }


def _write(workdir: str, report: dict[str, Any]) -> None:
    with faults.explained(workdir):
        text = json.dumps(_finite(report), indent=1, allow_nan=False) + "\n"
        files.write(os.path.join(workdir, FILE), text)


def _finite(value: Any) -> Any:
    """Return a value with null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _show(workdir: str, report: dict[str, Any], runtime: Runtime) -> None:
    """Write the pictures, the page and what TensorBoard shows."""
    if not runtime.workers.is_chief:
        return
    folder = os.path.join(workdir, FOLDER)
    drawn = list(figures.draw(report))
    with faults.explained(folder):
        files.make_folders(folder)
        for name, png in drawn:
            files.write_bytes(os.path.join(folder, name), png)
        files.write(os.path.join(folder, PAGE), page.html(report, drawn))
    writer = writers.Writer(folder, runtime)
    try:
        for point in report["points"].values():
            writer.scalars(point["step"], numbers.scalars(point))
        steps = {name: point["step"] for name, point in report["points"].items()}
        for name, png in drawn:
            kind, _, of = name.removesuffix(".png").partition("-")
            picture = np.asarray(PIL.Image.open(io.BytesIO(png)))
            writer.images(steps[of], {f"{SHARPNESS}{kind}": picture})
    finally:
        writer.close()
