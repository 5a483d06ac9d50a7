"""A report as one page: tables of numbers and the figures, nothing to fetch."""

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sam_pod.instruments.figures import Figure
from sam_pod.pages.markup import Markup, tag
from sam_pod.pages.style import STYLE

_CONVENTIONS = (
    ("loss", "loss"),
    ("BatchNorm (Hessian)", "batch_norm"),
    ("BatchNorm (m-sharpness, slices)", "batch_norm_of_losses"),
    ("arithmetic", "arithmetic"),
    ("replicas", "replicas"),
    ("weights", "weights"),
    ("what is measured", "weights_are"),
)


def html(report: Mapping[str, Any], figures: Iterable[Figure]) -> str:
    """Return the page of a report, in ASCII."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "Sharpness of a run"),
        tag("style", Markup(STYLE)),
    )
    facts = (
        tag("div", tag("dt", word), tag("dd", str(report[key])))
        for word, key in _CONVENTIONS
        if key in report
    )
    body = tag(
        "body",
        tag("h1", "Sharpness of a run"),
        tag("dl", *facts),
        *(_table(caption, *rows) for caption, rows in _tables(report)),
        *(_figure(name, png) for name, png in figures),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _figure(name: str, png: bytes) -> Markup:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    picture = tag("img", src=source, alt=name.removesuffix(".png"), width=900)
    return tag("figure", picture)


def _tables(
    report: Mapping[str, Any],
) -> Iterator[tuple[str, tuple[Sequence[str], list[Sequence[str]]]]]:
    points = report["points"]
    head = ("checkpoint", "measure", "flags of sam_pod.sharpness")
    yield "What each was measured with.", (head, _how(report))
    lines = []
    for name, point in points.items():
        for label, found in _spectra(point):
            values = zip(found["largest"], found["residuals"], strict=True)
            for number, (value, residual) in enumerate(values, start=1):
                row = (name, label, str(number), _number(value), _number(residual))
                lines.append(row)
            smallest = (_number(found[k]) for k in ("smallest", "smallest_residual"))
            lines.append((name, label, "smallest", *smallest))
            product = _number(found["largest_times_squared_norm"])
            lines.append((name, label, "largest times ||w||^2", product, ""))
    if lines:
        head = ("checkpoint", "loss", "eigenvalue", "value", "residual")
        yield "Eigenvalues of the Hessian, by Lanczos.", (head, lines)
    lines = [
        (name, _number(p["trace"]["trace"]), _number(p["trace"]["standard_error"]))
        for name, p in points.items()
        if "trace" in p
    ]
    if lines:
        head = ("checkpoint", "trace", "standard error")
        yield "Trace of the Hessian, by Hutchinson's estimate.", (head, lines)
    for measure, caption in (
        ("worst_case", "Worst-case m-sharpness: the rise of the loss in a ball."),
        ("average_case", "Average-case m-sharpness: the same at random points."),
    ):
        head = ("checkpoint", "m", "ball", "loss", "rise", "standard error")
        is_worst = measure == "worst_case"
        lines = [
            (
                name,
                str(found["m"]),
                found["ball"],
                *(_number(found[k]) for k in ("loss", "rise")),
                _spread(found["standard_error"]),
                *([_number(found["single_step_rise"])] if is_worst else []),
            )
            for name, p in points.items()
            for found in p.get(measure, {}).get("groups", ())
        ]
        if lines:
            yield caption, ((*head, *(["single step"] if is_worst else [])), lines)


def _how(report: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return a row for each measure: what its numbers depend on but the weights."""
    return [
        (name, measure, ", ".join(f"{key} {value}" for key, value in settings.items()))
        for name, measures in report["settings"].items()
        for measure, settings in measures.items()
    ]


def _spectra(point: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "eigenvalues" in point:
        yield "without L2", point["eigenvalues"]
        if "with_l2" in point["eigenvalues"]:
            yield "with L2", point["eigenvalues"]["with_l2"]


def _number(value: float) -> str:
    return f"{value:.5g}"


def _spread(standard_error: float) -> str:
    """Return a standard error, or nothing where there is none: of a single group."""
    return _number(standard_error) if math.isfinite(standard_error) else "-"


def _table(caption: str, head: Sequence[str], lines: list[Sequence[str]]) -> Markup:
    columns = (tag("th", cell, scope="col") for cell in head)
    body = (
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in others))
        for first, *others in lines
    )
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *columns)),
        tag("tbody", *body),
    )
    return tag("div", table, class_="scroll")
