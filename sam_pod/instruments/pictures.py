"""Pictures of what was measured, as PNG: lines, a density, a plane."""

import io
import math
from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

SIZE = (900, 560)
_BOX = (90, 70, 870, 470)  # Left, top, right, bottom of what is drawn on.
_COLORS = ("#2a66b8", "#c2410c", "#0b6b2e", "#7c3aed")
_INK, _SOFT, _LINE = "#1a1a19", "#575650", "#dcdbd5"
# From dark, low, to bright, high.
_SHADES = (
    (44, 30, 92),
    (42, 102, 184),
    (64, 170, 150),
    (200, 210, 90),
    (253, 240, 170),
)

# A series: its name, and the numbers along both axes.
Series = tuple[str, Sequence[float], Sequence[float]]


def lines(
    series: Sequence[Series], title: str, notes: Sequence[str], axes: tuple[str, str]
) -> bytes:
    """Return lines as a PNG, with what the notes say of how they were measured.

    Args:
        series: The lines; what is not finite is left out.
        title: The title.
        notes: Two lines at most.
        axes: What stands along, and what upwards.
    """
    sheet, pen = _sheet(title, notes)
    x = np.concatenate([np.asarray(one[1], float) for one in series])
    y = np.concatenate([np.asarray(one[2], float) for one in series])
    y = y[np.isfinite(y)]
    to_x = _axis(pen, _ends(x, 0), axes[0], is_upright=False)
    to_y = _axis(pen, _ends(y, 0.05), axes[1], is_upright=True)
    for number, (name, along, up) in enumerate(series):
        color = _COLORS[number % len(_COLORS)]
        for piece in _finite(along, up):
            pen.line([(to_x(a), to_y(b)) for a, b in piece], fill=color, width=3)
        pen.text((_BOX[0] + 12, _BOX[1] + 8 + 18 * number), name, color, _font(14))
    return _png(sheet)


def plane(
    along: Sequence[float], values: np.ndarray, title: str, notes: Sequence[str]
) -> bytes:
    """Return the logarithm of a function of two numbers as a PNG, a color a point.

    Args:
        along: Where the points are, on both axes.
        values: `[points, points]`, by the first number and the second.
        title: The title.
        notes: Two lines at most.
    """
    sheet, pen = _sheet(title, notes)
    height = _BOX[3] - _BOX[1]
    right = _BOX[0] + height
    finite = np.log10(np.maximum(values, 1e-12))
    low, high = float(finite[np.isfinite(finite)].min()), _highest(finite)
    shares = np.clip((np.nan_to_num(finite, nan=high) - low) / (high - low), 0, 1)
    pixels = _shades(np.flipud(shares.T))  # The second number points upwards.
    image = PIL.Image.fromarray(pixels).resize(
        (height, height), PIL.Image.Resampling.NEAREST
    )
    sheet.paste(image, (_BOX[0], _BOX[1]))
    half = (along[1] - along[0]) / 2
    ends = (along[0] - half, along[-1] + half)
    _axis(pen, ends, "a", is_upright=False, right=right)
    _axis(pen, ends, "b", is_upright=True, right=right)
    middle = ((_BOX[0] + right) / 2, (_BOX[1] + _BOX[3]) / 2)
    pen.line([(middle[0] - 6, middle[1]), (middle[0] + 6, middle[1])], "white", 2)
    pen.line([(middle[0], middle[1] - 6), (middle[0], middle[1] + 6)], "white", 2)
    bar = PIL.Image.fromarray(_shades(np.linspace(1, 0, height)[:, None]))
    sheet.paste(bar.resize((24, height)), (right + 50, _BOX[1]))
    for share in np.linspace(0, 1, 5):
        text = f"{10 ** (low + share * (high - low)):.3g}"
        place = (right + 82, _BOX[3] - share * height)
        pen.text(place, text, _SOFT, _font(13), anchor="lm")
    return _png(sheet)


def _highest(finite: np.ndarray) -> float:
    known = finite[np.isfinite(finite)]
    return max(float(known.max()), float(known.min()) + 1e-6)


def _shades(shares: np.ndarray) -> np.ndarray:
    """Return shares in [0, 1] as colors: `[H, W]` -> uint8 `[H, W, 3]`."""
    stops = np.linspace(0, 1, len(_SHADES))
    channels = [np.interp(shares, stops, [s[i] for s in _SHADES]) for i in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


def _sheet(
    title: str, notes: Sequence[str]
) -> tuple[PIL.Image.Image, PIL.ImageDraw.ImageDraw]:
    sheet = PIL.Image.new("RGB", SIZE, "white")
    pen = PIL.ImageDraw.Draw(sheet)
    pen.text((_BOX[0], 24), title, _INK, _font(20))
    for number, note in enumerate(notes):
        pen.text((_BOX[0], 518 + 18 * number), note, _SOFT, _font(12))
    return sheet, pen


def _axis(
    pen: PIL.ImageDraw.ImageDraw,
    ends: tuple[float, float],
    name: str,
    *,
    is_upright: bool,
    right: float = _BOX[2],
) -> Callable[[float], float]:
    """Draw an axis with its ticks; return where a number stands on it."""
    low, high = ends
    first, last = (_BOX[3], _BOX[1]) if is_upright else (_BOX[0], right)

    def at(value: float) -> float:
        return first + (value - low) / (high - low) * (last - first)

    for tick in _ticks(low, high):
        text = f"{tick:.6g}"
        if is_upright:
            pen.line([(_BOX[0] - 5, at(tick)), (_BOX[0], at(tick))], _SOFT)
            pen.text((_BOX[0] - 9, at(tick)), text, _SOFT, _font(13), anchor="rm")
        else:
            pen.line([(at(tick), _BOX[3]), (at(tick), _BOX[3] + 5)], _SOFT)
            pen.text((at(tick), _BOX[3] + 9), text, _SOFT, _font(13), anchor="ma")
    if is_upright:
        pen.text((_BOX[0] - 9, _BOX[1] - 8), name, _SOFT, _font(13), anchor="rs")
    else:
        pen.text((right, _BOX[3] + 28), name, _SOFT, _font(13), anchor="ra")
    pen.rectangle((_BOX[0], _BOX[1], right, _BOX[3]), outline=_LINE)
    return at


def _ends(values: np.ndarray, margin: float) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = (high - low) * margin or (abs(low) * 0.1 + 1e-9 if high == low else 0.0)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return some five round numbers between two."""
    raw = (high - low) / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= raw)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _finite(
    along: Sequence[float], up: Sequence[float]
) -> list[list[tuple[float, float]]]:
    """Return the pieces of a line between which there are numbers."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(along, up, strict=True):
        if math.isfinite(b):
            pieces[-1].append((a, b))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if len(piece) > 1]


def _font(size: int) -> PIL.ImageFont.ImageFont:
    return PIL.ImageFont.load_default(size)


def _png(sheet: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
