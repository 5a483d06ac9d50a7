"""For which range of images a model was made, by what it does with them at its front.

Made-up images of each range are sent through what comes before the first layers with
weights. A range fits when what those layers see then is what networks are usually fed:
[0, 1], [-1, 1], mean 0 and deviation 1, bytes less their mean and so on, and when what
they see in training is like what they see in evaluation.
"""

import math
from typing import NamedTuple

import keras
import numpy as np

from sam_pod.data.augment import ranges
from sam_pod.input_range import applications
from sam_pod.input_range import looks as looks_lib
from sam_pod.input_range.looks import Look

_FULL = [0.0, 255.0]  # The default `value_range` of Keras' layers.


class Found(NamedTuple):
    """A range, and the evidence for it."""

    name: str | None  # None where nothing is certain.
    why: str
    is_plain: bool = False  # Nothing at all changes the images.


def find(model: keras.Model, data: looks_lib.Pixels) -> Found:
    """Return the range that the front of a model from a file is made for."""
    try:
        looks = looks_lib.through(model, data)
    except Exception as error:  # A model can hold anything, and break anywhere.
        reason = " ".join(str(error).split())[:120]
        return _unknown(f"its first layers could not be looked into ({reason})")
    if not looks[ranges.UNIT].first:
        return _unknown("nothing of it with weights sees the images")
    declared = _declared(looks)
    if len(declared) == 1:
        name, layer, low, high = declared.pop()
        return Found(name, f"its {layer!r} has the `value_range` ({low:g}, {high:g})")
    if len(declared) > 1:
        layers = ", ".join(sorted({repr(layer) for _, layer, _, _ in declared}))
        return _unknown(f"the `value_range` of its {layers} contradict each other")
    if all(look.is_identity for look in looks.values()):
        return _of_unscaled(model, looks)
    return _of_scaled(looks)


def _unknown(why: str) -> Found:
    return Found(None, f"{why}; if it is made for another range, set it by that key")


def _declared(looks: dict[str, Look]) -> set[tuple[str, str, float, float]]:
    """Return (range, layer, low, high) where a layer's `value_range` shows a range.

    Keras' default counts only where the layer acts in evaluation, too: other layers are
    often left at it by mistake, and some only clip with it.
    """
    acting = {
        id(step.operation)
        for look in looks.values()
        for step in look.passed
        if step.changes_pictures
    }
    return {
        (name, step.name, *step.value_range)
        for name, look in looks.items()
        for step in look.passed
        if step.value_range is not None
        and (step.value_range != _FULL or id(step.operation) in acting)
        and np.allclose(step.low, step.value_range[0], rtol=0, atol=0.02 * step.width)
        and np.allclose(step.high, step.value_range[1], rtol=0, atol=0.02 * step.width)
    }


def _of_unscaled(model: keras.Model, looks: dict[str, Look]) -> Found:
    if not looks_lib.is_steady(model, looks[ranges.UNIT]):
        names = _names(looks[ranges.UNIT], all_of_them=True)
        if looks_lib.is_steady(model, looks[ranges.BYTES]):
            return Found(ranges.BYTES, f"its {names} would drown images in [0, 1]")
        return _unknown(f"its {names} would drown the images")
    behind = _scales_behind(model, looks[ranges.UNIT])
    if behind:
        return _unknown(f"its {behind!r} scales, but behind layers with weights")
    why, hint = "nothing in it scales its images", applications.hint(model)
    return Found(None, f"{why}, but {hint}" if hint else why, is_plain=not hint)


def _scales_behind(model: keras.Model, look: Look) -> str:
    passed = {id(step.operation) for step in look.passed}
    for layer in model._flatten_layers(include_self=False):
        if id(layer) in passed:
            continue
        if isinstance(layer, keras.layers.Rescaling):
            if np.max(np.abs(np.asarray(layer.scale, np.float64))) < 1 / 30:
                return layer.name
        elif looks_lib.is_adapted(layer):
            return layer.name
    return ""


def _of_scaled(looks: dict[str, Look]) -> Found:
    unchanged = [name for name, look in looks.items() if look.is_identity]
    unit = looks[ranges.UNIT]
    if unchanged == [ranges.UNIT]:
        return Found(ranges.UNIT, f"its {_names(looks[ranges.BYTES])} cut all others")
    count = len(unit.first)
    if all(_is_alike(looks, i) for i in range(count)):
        return Found(None, f"its {_names(unit)} made the same of any", is_plain=True)
    names = {_best(looks, i) for i in range(count)}
    name = names.pop() if len(names) == 1 else None
    look = unit if name is None else looks[name]
    seen = look.first[0]
    what = f"{min(*seen.low, *seen.high):.3g} to {max(*seen.low, *seen.high):.3g}"
    why = f"its {_names(look)} made {what} of that"
    return Found(name, why) if name else _unknown(f"{why}, which shows no range")


def _is_alike(looks: dict[str, Look], i: int) -> bool:
    """Return whether the first layer `i` sees the same in every range."""
    deviations = [look.first[i].deviation for look in looks.values()]
    means = [look.first[i].means.mean() for look in looks.values()]
    smallest, largest = min(deviations), max(deviations)
    return 0 < largest < 1.2 * smallest and max(means) - min(means) < 0.2 * largest


def _names(look: Look, *, all_of_them: bool = False) -> str:
    changing = [s.name for s in look.passed if all_of_them or s.changes_levels]
    return ", ".join(repr(name) for name in dict.fromkeys(changing)) or "front"


def _best(looks: dict[str, Look], i: int) -> str | None:
    """Return the range of which the first layer `i` sees what is usual, or None."""
    distances = sorted((_distance(look.first[i]), n) for n, look in looks.items())
    (nearest, name), (second, _), *_ = distances
    if any(look.has_adapted for look in looks.values()) and nearest < 0.3:
        return name if second > max(3 * nearest, 0.6) else None
    fixed = [n for n in looks if n != ranges.STANDARDIZED]
    usual = [n for n in fixed if _is_usual(looks[n], i)]
    if usual or any(_is_mild_gain(looks[n], i) for n in fixed):
        return usual[0] if len(usual) == 1 else None
    (nearest, name), (second, _), *_ = [d for d in distances if d[1] in fixed]
    if nearest < 2 and second > 2 * nearest:
        return name
    others = [looks[n].first[i].width for n in fixed if n != ranges.BYTES]
    return ranges.BYTES if max(others) < 0.1 else None


def _distance(seen: looks_lib.Seen) -> float:
    """Return how far from mean 0 and deviation 1, in deviations and e-folds."""
    if not seen.deviation > 0 or not math.isfinite(seen.deviation):
        return math.inf
    return float(np.mean(np.abs(seen.means))) + abs(math.log(seen.deviation))


def _is_usual(look: Look, i: int) -> bool:
    seen = look.first[i]
    low, high = np.minimum(seen.low, seen.high), np.maximum(seen.low, seen.high)
    width = float(np.max(high - low))
    if not 0 < width < math.inf or _is_mild_gain(look, i):
        return False

    def near(value: np.ndarray, expected: float) -> bool:
        return np.allclose(value, expected, rtol=0, atol=0.03 * width)

    usual = ((0, 1), (0, 2), (-1, 1), (-0.5, 0.5), (0, 255))
    if any(near(low, a) and near(high, b) for a, b in usual):
        return True
    is_centred = near(low, -float(np.max(high))) and 0.8 <= width <= 8
    is_less_mean = near(high - low, 255) and bool(np.all((low > -170) & (low < -70)))
    return is_centred or is_less_mean


def _is_mild_gain(look: Look, i: int) -> bool:
    """Return whether images are multiplied by a number that is not far from 1."""
    seen, given = look.first[i], look.levels
    gain = float(np.mean(seen.high - seen.low)) / (given[-1] - given[0])
    if not 1 / 8 <= gain <= 8:
        return False
    ends = np.stack([seen.low - gain * given[0], seen.high - gain * given[-1]])
    return bool(np.all(np.abs(ends) < 0.01 * gain * (given[-1] - given[0])))
