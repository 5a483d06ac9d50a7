"""What the instruments have measured of a study's runs: means, by a number's path."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sam_pod.run import result_file
from sam_pod.study import found as found_lib
from sam_pod.study import statistics

# Of these lists the first so many numbers; other lists are curves.
_FIRST = {"largest": 5, "residuals": 1}
_GROUPS = "groups"  # A list of what was found for each m and ball.
_COSTS = ("seconds", "products", "probes")
# Of a plan: where and what was measured, which the paths say.
_OF_PATHS = ("at", "measures", "m", "balls")
SHOWN = (
    "Of the largest eigenvalues the first five, and the residual of the first; of "
    "m-sharpness how far the loss rises for each m and ball. Curves, further errors "
    "and times are in the file alone."
)


def means(done: Sequence[found_lib.Found]) -> dict[str, statistics.Mean]:
    """Return the means over finished runs of what is shown, by path."""
    values: dict[str, list[float]] = {}
    for found in done:
        content = found.sharpness.get("points", found.sharpness)
        for path, number in _numbers(content):
            values.setdefault(path, []).append(number)
    return {path: statistics.mean(each) for path, each in values.items()}


def _numbers(content: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers in JSON that are shown, with their paths."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key == _GROUPS and isinstance(value, list):
                yield from _rises(value, path)
            elif key in _FIRST and isinstance(value, list):
                first = enumerate(value[: _FIRST[key]], start=1)
                yield from _numbers({str(n): v for n, v in first}, _join(path, key))
            elif key not in _COSTS:
                yield from _numbers(value, _join(path, key))
    elif type(content) in (int, float) and math.isfinite(content):
        yield path, float(content)


def _rises(groups: Sequence[Any], path: str) -> Iterator[tuple[str, float]]:
    for one in groups:
        if isinstance(one, Mapping):
            name = f"{path}: m {one.get('m')}, ball {one.get('ball')}"
            yield from _numbers(one.get("rise"), name)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}".lstrip(".")


def how(runs: Sequence[found_lib.Found]) -> tuple[str, ...]:
    """Return what the instruments say of their figures in words."""
    said = {
        f"{key}: {value}"
        for found in runs
        for key, value in found.sharpness.items()
        if isinstance(value, str)
    }
    return tuple(sorted(said))


def notes(runs: Sequence[found_lib.Found]) -> list[str]:
    """Return a line where runs were measured unlike each other, or too early."""
    return [*_unlike(runs), *_early(runs)]


def _early(runs: Sequence[found_lib.Found]) -> Iterator[str]:
    """Yield a line for each checkpoint of a run that is another one by now."""
    for found in runs:
        for name, step in result_file.steps_of(found.result).items():
            at = found.sharpness.get("points", {}).get(name, {}).get("step")
            if at is not None and at != step:
                yield (
                    f"Sharpness of {found.run.name}, {name}, is that of step {at}, and "
                    f"its {name} weights are those of step {step}: measure it again."
                )


def _unlike(runs: Sequence[found_lib.Found]) -> list[str]:
    values: dict[tuple[str, str, str], dict[str, None]] = {}
    for found in runs:
        for place, value in _settings(found.sharpness):
            values.setdefault(place, {})[json.dumps(value)] = None
    differ: dict[str, dict[str, None]] = {}
    for (_, _, name), each in values.items():
        if len(each) > 1:
            differ[name] = differ.get(name, {}) | each
    if not differ:
        return []
    words = (f"`{name}` is {' or '.join(each)}" for name, each in differ.items())
    return [
        f"Sharpness was not measured alike in all runs: {', '.join(words)}. Compare "
        "it only where these agree."
    ]


def _settings(
    sharpness: Mapping[str, Any],
) -> Iterator[tuple[tuple[str, str, str], Any]]:
    """Yield what each measure of each checkpoint depends on, by flag."""
    points, settings = sharpness.get("points", {}), sharpness.get("settings")
    if settings is None:  # Of version 1, which had one plan for all.
        own = _plan(sharpness)
        settings = {name: dict.fromkeys(point, own) for name, point in points.items()}
    for name, measures in settings.items():
        for measure, found in measures.items():
            for key, value in found.items():
                yield (name, measure, key), value


def _plan(sharpness: Mapping[str, Any]) -> dict[str, Any]:
    plan, examples = sharpness.get("plan", {}), sharpness.get("examples")
    own = {name: plan[name] for name in plan if name not in _OF_PATHS}
    if examples is None:
        return own
    of_groups = min(examples, plan.get("m_examples", examples))
    return own | {"examples": examples, "m_examples": of_groups}
