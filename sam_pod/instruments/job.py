"""Measure a run: each checkpoint, each measure, written as soon as it is there."""

import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np
from absl import logging

from sam_pod.config import batch as batch_lib
from sam_pod.instruments import eigenvalues, products
from sam_pod.instruments import subject as subject_lib
from sam_pod.instruments.objective import BATCH_NORMS, Objective
from sam_pod.instruments.plan import Plan
from sam_pod.instruments.products import Products
from sam_pod.instruments.subject import Point, Subject
from sam_pod.machines.runtime import Runtime
from sam_pod.storage import faults, files

FILE = "sharpness.json"
SCHEMA_VERSION = 1
# What is found of a checkpoint, by measure.
Found = dict[str, Any]


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
    tools = Instruments(subject, plan)
    report = _head(subject, plan)
    for point in points:
        subject.restore(point)
        found: Found = {"checkpoint": os.path.basename(point.path), "step": point.step}
        report["points"][point.name] = found
        for name in plan.measures:
            begun = time.monotonic()
            found[name] = tools.measures[name]()
            found[name]["seconds"] = round(time.monotonic() - begun, 3)
            logging.info("%s, step %d: %s", name, point.step, _line(found[name]))
            if runtime.workers.is_chief:
                _write(workdir, report)
    return report


class Instruments:
    """The measures of a subject, compiled once for all its checkpoints."""

    def __init__(self, subject: Subject, plan: Plan) -> None:
        self._subject, self._plan = subject, plan
        self.measures: dict[str, Callable[[], Found]] = {
            "eigenvalues": self._eigenvalues
        }

    @functools.cached_property
    def _batch_size(self) -> int:
        return batch_size(self._subject, self._plan)

    def _objective(self, is_regularized: bool = False) -> Objective:
        return Objective(
            self._subject.recipe,
            self._subject.split.num_examples,
            self._plan.batch_norm,
            is_regularized,
        )

    @functools.cache  # noqa: B019  It lives as long as its process.
    def _products(self, is_regularized: bool) -> Products:
        objective = self._objective(is_regularized)
        return Products(self._subject, objective, self._batch_size)

    def _eigenvalues(self) -> Found:
        found = self._lanczos(is_regularized=False)
        if self._objective().has_regularizers:
            found["with_l2"] = self._lanczos(is_regularized=True)
        return found

    def _lanczos(self, is_regularized: bool) -> Found:
        product = self._products(is_regularized)
        found = eigenvalues.find(
            product,
            product.size,
            iterations=self._plan.iterations,
            seed=self._plan.seed,
        )
        squared_norm = squared_norm_of(self._subject)
        return eigenvalues.describe(found, self._plan.eigenvalues, squared_norm)


def squared_norm_of(subject: Subject) -> float:
    """Return ||w||^2 over all weights."""
    return float(np.square(products.join([w.numpy() for w in subject.weights])).sum())


def batch_size(subject: Subject, plan: Plan) -> int:
    """Return the examples of a batch over all replicas: what a run's chunk has.

    Raises:
        UserError: it does not divide by the replicas.
    """
    config = subject.config
    parts = config.sam.micro_batches * config.accumulate_steps
    size = plan.batch_size or config.global_batch_size // parts
    batch_lib.per_replica_batch_size(size, subject.num_replicas)
    return size


def _head(subject: Subject, plan: Plan) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "plan": dataclasses.asdict(plan),
        "examples": subject.split.num_examples,
        "loss": "mean cross-entropy of training examples that are not augmented",
        "batch_norm": BATCH_NORMS[plan.batch_norm],
        "arithmetic": "float32; Lanczos in float64",
        "replicas": subject.num_replicas,
        "weights": sum(int(np.prod(w.shape)) for w in subject.weights),
        "points": {},
    }


def _line(found: Found) -> str:
    return "  ".join(
        f"{key} {value:.5g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in found.items()
        if isinstance(value, (int, float))
    )


def _write(workdir: str, report: dict[str, Any]) -> None:
    with faults.explained(workdir):
        text = json.dumps(report, indent=2) + "\n"
        files.write(os.path.join(workdir, FILE), text)
