"""The figures of a report: which there are, and what they say of themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sam_pod.instruments import pictures

# (name of the file, PNG).
Figure = tuple[str, bytes]
_RUNNING = "running statistics of BatchNorm"


def draw(report: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield the figures of a report, each with the conventions that it follows."""
    for name, point in report["points"].items():
        title = f"{name}, step {point['step']}"
        if "density" in point:
            yield f"density-{name}.png", _density(report, point, title)
        if "line" in point:
            yield f"line-{name}.png", _line(report, point, title)
        if "plane" in point:
            yield f"plane-{name}.png", _plane(report, point, title)


def _density(report: Mapping[str, Any], point: Mapping[str, Any], title: str) -> bytes:
    found = point["density"]
    up = np.log10(np.maximum(found["density"], 1e-10))
    notes = (
        f"Mean cross-entropy of {report['examples']} training examples, not augmented, "
        f"no L2. {report['batch_norm']}.",
        f"Lanczos quadrature of {found['probes']} start vector(s), each node a normal "
        f"density of deviation {found['width']:.3g}.",
    )
    return pictures.lines(
        [("density", found["grid"], up.tolist())],
        f"Eigenvalues of the Hessian: {title}",
        notes,
        ("eigenvalue", "log10"),
    )


def _line(report: Mapping[str, Any], point: Mapping[str, Any], title: str) -> bytes:
    found = point["line"]
    return pictures.lines(
        [("loss", found["along"], found["losses"])],
        f"Loss at w + a d: {title}",
        _slice_notes(report),
        ("a", "loss"),
    )


def _plane(report: Mapping[str, Any], point: Mapping[str, Any], title: str) -> bytes:
    found = point["plane"]
    return pictures.plane(
        found["along"],
        np.array(found["losses"]),
        f"Loss at w + a d + b e, logarithmic: {title}",
        _slice_notes(report),
    )


def _slice_notes(report: Mapping[str, Any]) -> tuple[str, str]:
    return (
        f"Mean cross-entropy of {report['examples']} training examples, not augmented, "
        f"no L2; {_RUNNING}.",
        "Random directions, each filter as long as that of w; biases and "
        f"normalizations stay. Seed {report['plan']['seed']}.",
    )
