"""Curves with bands: an arm's validation accuracy, over its seeds."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

from sam_pod.pages import svg
from sam_pod.pages.markup import Markup, tag
from sam_pod.run import curve
from sam_pod.study import found as found_lib
from sam_pod.study import statistics, summary

# Colours of the style, for the classes series-0 …; further arms are dashed.
_HUES = (
    *("weights", "temporaries", "statistics", "slots"),
    *("activations", "code", "batch"),
)
_LEFT, _TOP, _BOTTOM = 56, 12, 330
_RIGHT = svg.WIDTH - 130  # Beyond are the names.
_LINE = 16


@dataclasses.dataclass(frozen=True)
class Series:
    """An arm's curve: the mean at each epoch, and half of its interval."""

    name: str
    number: int
    x: tuple[float, ...]
    y: tuple[statistics.Mean, ...]


def of(arms: Sequence[summary.Arm], x: Callable[[curve.Point], float]) -> list[Series]:
    """Return the curves of the arms with a finished run.

    An arm's curve ends with the first of its runs that does, as a mean over those left
    would be of others.

    Args:
        arms: The arms.
        x: What a point is drawn over.
    """
    found = [_series(arm, number, x) for number, arm in enumerate(arms)]
    return [series for series in found if series.x]


def _series(arm: summary.Arm, number: int, x: Callable[[curve.Point], float]) -> Series:
    finished = [r for r in arm.runs if r.state == found_lib.FINISHED and r.points]
    by_epoch = [
        {p.epoch: p for p in run.points if not math.isnan(p.validation_accuracy)}
        for run in finished
    ]
    epochs = sorted(set.intersection(*map(set, by_epoch))) if by_epoch else []
    at = [[points[epoch] for points in by_epoch] for epoch in epochs]
    return Series(
        arm.name,
        number,
        tuple(sum(map(x, points)) / len(points) for points in at),
        tuple(
            statistics.mean([100 * p.validation_accuracy for p in points])
            for points in at
        ),
    )


def picture(key: str, title: str, x_name: str, series: Sequence[Series]) -> Markup:
    """Return a picture of curves, with a band of each where there are several seeds.

    Args:
        key: The picture's key, which no other on the page has.
        title: Its title.
        x_name: What lies along it.
        series: The curves, one at least.
    """
    ends = [
        end
        for each in series
        for m in each.y
        for end in ([m.mean] if math.isnan(m.half) else [m.low, m.high])
    ]
    low, high = max(min(ends), 0.0), min(max(ends), 100.0)
    room = max(high - low, 1.0) * 0.05
    y = _Axis(low - room, high + room, _BOTTOM, _TOP)
    x = _Axis(0.0, max(max(each.x) for each in series) or 1.0, _LEFT, _RIGHT)
    description = ". ".join(f"{s.name} ends at {s.y[-1].mean:.2f} %" for s in series)
    return svg.picture(
        key,
        title,
        f"{description}.",
        _BOTTOM + 48,
        *_grid(x, y, x_name),
        *(_band(each, x, y) for each in series),
        *(_line(each, x, y) for each in series),
        *_names(series, x, y),
    )


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Values laid evenly along one side of a picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value, within the picture."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """Yield round values, about five."""
        raw = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
        value = math.ceil(self.low / step) * step
        while value <= self.high:
            yield value
            value += step


def _grid(x: _Axis, y: _Axis, x_name: str) -> Iterator[Markup]:
    for value in y.ticks():
        at = y.at(value)
        yield svg.line(x.start, at, x.end, at, "grid")
        text = f"{round(value, 6):g} %"
        yield svg.text(text, x.start - 6, at + 4, "tick", text_anchor="end")
    for value in x.ticks():
        at, text = x.at(value), f"{round(value, 6):,g}"
        if value >= 1e5:
            text = f"{value / 1e3:,.0f}k"
        yield svg.line(at, y.start, at, y.end, "grid")
        yield svg.text(text, at, y.start + 17, "tick", text_anchor="middle")
    middle = (x.start + x.end) / 2
    yield svg.text(x_name, middle, y.start + 40, "name", text_anchor="middle")


def _band(series: Series, x: _Axis, y: _Axis) -> Markup:
    pairs = [
        (x.at(at), mean)
        for at, mean in zip(series.x, series.y, strict=True)
        if not math.isnan(mean.half)
    ]
    if not pairs:
        return Markup("")
    outline = [(at, y.at(mean.high)) for at, mean in pairs]
    outline += [(at, y.at(mean.low)) for at, mean in reversed(pairs)]
    return tag("path", d=f"{svg.path(*outline)} Z", class_=f"band {_class(series)}")


def _line(series: Series, x: _Axis, y: _Axis) -> Markup:
    corners = [
        (x.at(at), y.at(m.mean)) for at, m in zip(series.x, series.y, strict=True)
    ]
    text = f"{series.name}: {series.y[-1].mean:.2f} %"
    return tag(
        "path",
        tag("title", text),
        d=svg.path(*corners),
        class_=f"curve {_class(series)}",
        data_arm=series.name,
    )


def _names(series: Sequence[Series], x: _Axis, y: _Axis) -> Iterator[Markup]:
    """Yield the names beside the ends of their curves, where needed moved down."""
    ordered = sorted(series, key=lambda s: y.at(s.y[-1].mean))
    places, lowest = [], -math.inf
    for each in ordered:
        lowest = max(y.at(each.y[-1].mean), lowest + _LINE)
        places.append(lowest)
    beyond = max(0.0, lowest - _BOTTOM)
    for each, place in zip(ordered, places, strict=True):
        at = place - beyond
        end = x.at(each.x[-1]), y.at(each.y[-1].mean)
        lead = svg.path(end, (x.end + 6, at))
        yield tag("path", d=lead, class_=f"thread {_class(each)}")
        yield svg.text(each.name, x.end + 10, at + 4, f"label {_class(each)}")


def _class(series: Series) -> str:
    dashed = " dashed" if series.number >= len(_HUES) else ""
    return f"series-{series.number % len(_HUES)}{dashed}"


STYLE = (
    "".join(
        f".series-{i} {{ --own: var(--{name}); }}\n" for i, name in enumerate(_HUES)
    )
    + """
.curve { fill: none; stroke: var(--own); stroke-width: 2; stroke-linejoin: round; }
.band { fill: var(--own); fill-opacity: .16; stroke: none; }
.thread { fill: none; stroke: var(--own); stroke-opacity: .5; stroke-dasharray: 2 3; }
.curve.dashed { stroke-dasharray: 7 4; }
"""
)
