"""The figures of a report: which there are, and what they say of themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sam_pod.instruments import pictures
from sam_pod.instruments.numbers import Found
from sam_pod.instruments.objective import BATCH_NORMS

# (name of the file, PNG).
Figure = tuple[str, bytes]
_RUNNING = "running statistics of BatchNorm"


def draw(report: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield the figures of a report, each with the conventions that it follows."""
    for name, point in report["points"].items():
        title, of = f"{name}, step {point['step']}", report["settings"][name]
        if "density" in point:
            yield (
                f"density-{name}.png",
                _density(point["density"], of["density"], title),
            )
        if "line" in point:
            yield f"line-{name}.png", _line(point["line"], of["line"], title)
        if "plane" in point:
            yield f"plane-{name}.png", _plane(point["plane"], of["plane"], title)


def _density(found: Found, settings: Found, title: str) -> bytes:
    up = np.log10(np.maximum(found["density"], 1e-10))
    notes = (
        f"Mean cross-entropy of {settings['examples']} training examples, not "
        f"augmented, no L2. {BATCH_NORMS[settings['batch_norm']]}.",
        f"Lanczos quadrature of {found['probes']} start vector(s), each node a normal "
        f"density of deviation {found['width']:.3g}.",
    )
    return pictures.lines(
        [("density", found["grid"], up.tolist())],
        f"Eigenvalues of the Hessian: {title}",
        notes,
        ("eigenvalue", "log10"),
    )


def _line(found: Found, settings: Found, title: str) -> bytes:
    return pictures.lines(
        [("loss", found["along"], found["losses"])],
        f"Loss at w + a d: {title}",
        _slice_notes(settings),
        ("a", "loss"),
    )


def _plane(found: Found, settings: Found, title: str) -> bytes:
    return pictures.plane(
        found["along"],
        np.array(found["losses"]),
        f"Loss at w + a d + b e, logarithmic: {title}",
        _slice_notes(settings),
    )


def _slice_notes(settings: Found) -> tuple[str, str]:
    return (
        f"Mean cross-entropy of {settings['examples']} training examples, not "
        f"augmented, no L2; {_RUNNING}.",
        "Random directions, each filter as long as that of w; biases and "
        f"normalizations stay. Seed {settings['seed']}.",
    )
