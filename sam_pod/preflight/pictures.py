"""Two pictures of a topology's report: its roofline, and its memory."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sam_pod.pages import svg
from sam_pod.pages.markup import Markup, tag
from sam_pod.preflight import rows

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SHAPES = (
    "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z",
    "M-6 -6h12v12h-12z",
    "M0 -8l8 8l-8 8l-8 -8z",
)
# Below this share of the memory, parts can hardly be distinguished.
_TINY = 0.1
_BAR_HEIGHT = 20
_BAR_PITCH = 62
_LETTER = 6.5  # The width of one, roughly.
_LEFT, _RIGHT = 100, svg.WIDTH - 28  # The sides of the roofline's grid.
_BESIDE = 34  # The distance from a point to its label.


def part_class(key: str) -> str:
    """Return the class that colors a part of memory."""
    return f"part-{key}"


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Powers of ten, laid evenly along one side of a picture."""

    low: int
    high: int
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[tuple[float, float]]:
        """Yield (value, where), each a power of ten, ten at most."""
        step = -(-(self.high - self.low) // 10)
        for exponent in range(self.low, self.high + 1, step):
            yield 10.0**exponent, self.at(10.0**exponent)


@dataclasses.dataclass(frozen=True)
class _Point:
    """A program at the speed of its estimate."""

    name: str
    shape: str
    flops_per_byte: float
    flops_per_second: float

    @property
    def text(self) -> str:
        """Return the point in words."""
        speed = _si(self.flops_per_second, "FLOP/s")
        return f"{self.name}: {rows.cell(self.flops_per_byte, 1)} FLOP a byte, {speed}"


def roofline(report: Mapping[str, Any], key: str) -> Markup:
    """Return the roofline model's picture: FLOP a byte against FLOP a second.

    Args:
        report: The report of one topology.
        key: The picture's key, which no other on the page has.
    """
    peak, bandwidth = report["peak_flops_per_second"], report["hbm_bytes_per_second"]
    points, ridge = list(_points(report["programs"])), peak / bandwidth
    x, y = _axes(points, peak, bandwidth)
    description = (
        f"Compute allows {_si(peak, 'FLOP/s')}, memory {_si(bandwidth, 'B/s')}: they "
        f"meet at {rows.cell(ridge, 1)} FLOP a byte. "
        + ". ".join(point.text for point in points)
    )
    return svg.picture(
        key,
        f"Roofline of {rows.title(report)}",
        description,
        y.start + 52,
        *_grid(x, y),
        *_roof(x, y, peak, bandwidth),
        *_labelled(points, x, y),
    )


def _points(programs: Mapping[str, Any]) -> Iterator[_Point]:
    for index, (name, program) in enumerate(programs.items()):
        # A logarithm has no place for a program that computes nothing.
        if program.get("flops", 0) > 0 and program["bytes_accessed"] > 0:
            yield _Point(
                name,
                _SHAPES[index % len(_SHAPES)],
                program["flops_per_byte"],
                program["flops"] / program["roofline"]["step_seconds"],
            )


def _axes(
    points: Sequence[_Point], peak: float, bandwidth: float
) -> tuple[_Axis, _Axis]:
    ridge = math.log10(peak / bandwidth)
    along = [math.log10(point.flops_per_byte) for point in points] or [ridge - 1]
    low, high = math.floor(min(min(along) - 0.3, ridge - 0.8)), math.ceil(ridge + 0.3)
    # Labels are to the right of their points.
    room = max([_label_width(point.text) for point in points], default=0)
    while high - max(along) < room / (_RIGHT - _LEFT) * (high - low):
        high += 1
    speeds = [math.log10(point.flops_per_second) for point in points]
    bottom = math.floor(min(speeds + [math.log10(bandwidth) + low]))
    top = math.ceil(math.log10(peak) + 0.15)
    # And below them.
    while top - bottom < 2 or min(speeds, default=top) - bottom < 0.3 * (top - bottom):
        bottom -= 1
    return _Axis(low, high, _LEFT, _RIGHT), _Axis(bottom, top, 350, 12)


def _label_width(text: str) -> float:
    return _BESIDE + 14 + len(text) * _LETTER


def _grid(x: _Axis, y: _Axis) -> Iterator[Markup]:
    for value, at in x.ticks():
        yield svg.line(at, y.start, at, y.end, "grid", data_x=value)
        text = f"{value:,g}" if value < 1e6 else _si(value, "").strip()
        yield svg.text(text, at, y.start + 18, "tick", text_anchor="middle")
    for value, at in y.ticks():
        yield svg.line(x.start, at, x.end, at, "grid", data_y=value)
        text = _si(value, "FLOP/s")
        yield svg.text(text, x.start - 8, at + 4, "tick", text_anchor="end")
    middle = (x.start + x.end) / 2
    yield svg.text(
        "FLOP a byte of memory", middle, y.start + 42, "name", text_anchor="middle"
    )


def _roof(x: _Axis, y: _Axis, peak: float, bandwidth: float) -> Iterator[Markup]:
    ridge = peak / bandwidth
    first = (x.start, y.at(bandwidth * 10.0**x.low))
    corner = (x.at(ridge), y.at(peak))
    outline = f"{svg.path(first, corner)} H{svg.px(x.end)}"
    below = f"{outline} V{svg.px(y.start)} H{svg.px(x.start)} Z"
    yield tag("path", d=below, class_="reach")
    yield svg.line(*corner, corner[0], y.start, "ridge", data_ridge=ridge)
    yield tag("path", d=outline, class_="roof")
    text = f"{rows.cell(ridge, 1)} FLOP a byte"
    side, anchor = (6, "start") if x.end - corner[0] > 120 else (-6, "end")
    yield svg.text(text, corner[0] + side, y.start - 8, "tick", text_anchor=anchor)
    text = f"compute: {_si(peak, 'FLOP/s')}"
    yield svg.text(text, x.end - 4, corner[1] - 8, "name", text_anchor="end")
    middle = [(a + b) / 2 for a, b in zip(first, corner, strict=True)]
    angle = math.degrees(math.atan2(corner[1] - first[1], corner[0] - first[0]))
    place = f"translate({svg.px(middle[0])} {svg.px(middle[1])})"
    yield svg.text(
        f"memory: {_si(bandwidth, 'B/s')}",
        0,
        -11,
        "name",
        text_anchor="middle",
        transform=f"{place} rotate({svg.px(angle)})",
    )


def _labelled(points: Sequence[_Point], x: _Axis, y: _Axis) -> Iterator[Markup]:
    lowest = -math.inf
    for point in sorted(points, key=lambda p: -p.flops_per_second):
        at = x.at(point.flops_per_byte), y.at(point.flops_per_second)
        # Programs are often close to each other: their labels make room.
        lowest = max(lowest + 24, at[1] + 26)
        beside = at[0] + _BESIDE
        yield tag(
            "path", d=svg.path(at, (at[0], lowest), (beside, lowest)), class_="lead"
        )
        yield _marker(point, beside, lowest)
        yield svg.text(point.text, beside + 14, lowest + 4, "label")
        yield _marker(point, *at, data_program=point.name)


def _marker(point: _Point, x: float, y: float, **attributes: object) -> Markup:
    return tag(
        "path",
        tag("title", point.text),
        d=point.shape,
        transform=f"translate({svg.px(x)} {svg.px(y)})",
        class_="point",
        **attributes,
    )


def memory(report: Mapping[str, Any], key: str) -> Markup:
    """Return each program's memory as a bar, enlarged below where it is tiny.

    Args:
        report: The report of one topology, with a program that was compiled.
        key: The picture's key, which no other on the page has.
    """
    programs = {n: p for n, p in report["programs"].items() if "memory" in p}
    hbm = report["hbm_bytes"]
    most = max(program["memory_bytes"] for program in programs.values())
    heads = {f"{_in_bytes(hbm)} of memory a replica": max(hbm, most)}
    if most < _TINY * hbm:
        heads[f"enlarged {hbm / most:,.0f} times: {_in_bytes(most)}"] = most
    drawn: list[Markup] = []
    top = 0.0
    for head, width in heads.items():
        drawn.append(svg.text(head, 0, top + 14, "name"))
        for name, program in programs.items():
            drawn += _bar(name, program, hbm, width, top + 24)
            top += _BAR_PITCH
        top += 40
    description = ". ".join(
        f"{name}: {_in_bytes(program['memory_bytes'])} of {_in_bytes(hbm)}"
        for name, program in programs.items()
    )
    title = f"Memory on {rows.title(report)}"
    return svg.picture(key, title, description, top - 20, *drawn)


def _bar(
    name: str, program: Mapping[str, Any], hbm: int, whole: float, top: float
) -> Iterator[Markup]:
    """Yield a bar `whole` bytes wide, with the free part where all of memory shows."""
    used = program["memory_bytes"]
    text = f"{_in_bytes(used)}, {rows.cell(used / hbm, 1e-2)} %"
    yield svg.text(name, 0, top + 14, "label")
    yield svg.text(text, svg.WIDTH, top + 14, "label", text_anchor="end")
    parts = [(part, word, program["memory"][part]) for part, word in rows.PARTS]
    if hbm <= whole:
        parts.append(("free", "free", max(hbm - used, 0)))
    left = 0.0
    for part, word, size in parts:
        width = size / whole * svg.WIDTH
        text = f"{word} {_in_bytes(size)}"
        yield tag(
            "rect",
            tag("title", f"{name}: {text}"),
            x=svg.px(left),
            y=svg.px(top + 20),
            width=svg.px(width),
            height=_BAR_HEIGHT,
            class_=part_class(part),
            data_program=name,
            data_part=part,
        )
        if width > len(text) * _LETTER:
            middle, below = left + width / 2, top + 20 + _BAR_HEIGHT + 13
            yield svg.text(text, middle, below, "tick", text_anchor="middle")
        left += width
    if used > hbm:
        end = hbm / whole * svg.WIDTH
        yield svg.line(end, top + 16, end, top + 24 + _BAR_HEIGHT, "limit")


def _si(value: float, unit: str) -> str:
    size, prefix = next((p for p in _PREFIXES if value >= p[0]), (1.0, ""))
    # Twice, since 999.9 rounds to 1e+03.
    return f"{float(f'{value / size:.3g}'):g} {prefix}{unit}"


def _in_bytes(size: float) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{rows.cell(size, unit)} {name}"
    return f"{size:.0f} B"
