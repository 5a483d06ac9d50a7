"""The report of a run: what was measured of its checkpoints, by all commands so far.

Beside each measure stand its settings: what its numbers depend on but the weights. What
a command finds takes the place of the same measure of the same checkpoint alone.
"""

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging

from sam_pod import errors
from sam_pod.instruments.numbers import Found
from sam_pod.instruments.objective import BATCH_NORMS
from sam_pod.instruments.plan import MEASURES, Plan
from sam_pod.run import workdir as workdir_lib
from sam_pod.storage import faults, files

FILE = "sharpness.json"
SCHEMA_VERSION = 2  # 1 had one plan for all that was in it.

Report = dict[str, Any]
# By checkpoint and measure.
Settings = Mapping[str, Mapping[str, Found]]
_COMMON = ("examples", "batch_norm", "seed")  # What figures are compared under.


def add(workdir: str, own: Report) -> Report:
    """Add what a command has found so far to a run's report; return the report.

    Args:
        workdir: The run's folder.
        own: A report of what this command has found.

    Raises:
        UserError: the report that is there cannot be read, or not replaced.
    """
    report = _merged(_read(workdir), own)
    with faults.explained(workdir):
        text = json.dumps(_finite(report), indent=1, allow_nan=False) + "\n"
        files.write(os.path.join(workdir, FILE), text)
    return report


def keep_what_differs(
    workdir: str, points: Mapping[str, str], settings: Mapping[str, Found]
) -> None:
    """Copy a report in which a measurement is about to replace other numbers.

    A line of the log says so; another one what stays as it was measured under others.

    Args:
        workdir: The run's folder.
        points: The files of the checkpoints that will be measured, by name.
        settings: Those of each measure that will be taken of them.

    Raises:
        UserError: the report that is there cannot be read.
    """
    old = _read(workdir)
    replaced, staying = [], []
    for name, point, measure in _measured(old):
        had = old["settings"][name][measure]
        is_of_another = points.get(name, point["checkpoint"]) != point["checkpoint"]
        if is_of_another:
            replaced.append(f"{measure} of {name} at {point['checkpoint']}")
        elif name in points and measure in settings:
            replaced += _differences(measure, name, had, settings[measure])
        else:
            now = {k: v for s in settings.values() for k, v in s.items()}
            common = {k: had[k] for k in _COMMON if k in had and k in now}
            staying += _differences(measure, name, common, now)
    if replaced:
        path = _free(workdir)
        with faults.explained(workdir):
            files.write(path, files.read(os.path.join(workdir, FILE)) or "")
        logging.info("%s keeps what is replaced: %s.", path, "; ".join(replaced))
    if staying:
        logging.info("As it was measured stays: %s.", "; ".join(staying))


def _differences(
    measure: str, name: str, had: Found, now: Mapping[str, Any]
) -> Iterator[str]:
    words = [
        f"{key} {value}, now {now[key]}"
        for key, value in had.items()
        if key in now and now[key] != value
    ]
    if words:
        yield f"{measure} of {name} ({', '.join(words)})"


def _measured(report: Report) -> Iterator[tuple[str, Found, str]]:
    for name, point in report["points"].items():
        for measure in filter(point.__contains__, MEASURES):
            yield name, point, measure


def _free(workdir: str) -> str:
    stem, extension = os.path.splitext(os.path.join(workdir, FILE))
    number = 1
    while files.exists(path := f"{stem}-{number}{extension}"):
        number += 1
    return path


def _read(workdir: str) -> Report:
    """Return the report that is there, with NaN for what JSON does not have."""
    path = os.path.join(workdir, FILE)
    report = workdir_lib.read_json(path)
    if report is None:
        return {"points": {}, "settings": {}}
    if report.get("schema_version") not in (1, SCHEMA_VERSION):
        raise errors.UserError(
            f"{path} has the schema version {report.get('schema_version')!r}, which is "
            f"not this one's ({SCHEMA_VERSION}): move it away."
        )
    report = _with_nan(report)
    return report if "settings" in report else report | {"settings": _of_old(report)}


def _of_old(report: Report) -> Settings:
    """Return the settings of what a report of version 1 has."""
    known = {field.name for field in dataclasses.fields(Plan)}
    plan = Plan(**{k: v for k, v in report["plan"].items() if k in known})
    found: dict[str, dict[str, Found]] = {name: {} for name in report["points"]}
    for name, _, measure in _measured(report):
        found[name][measure] = plan.settings(
            measure, report["examples"], plan.batch_size, report["replicas"]
        )
    return found


def _merged(old: Report, own: Report) -> Report:
    points, settings = dict(old["points"]), dict(old["settings"])
    for name, point in own["points"].items():
        before = points.get(name, point)
        if before["checkpoint"] != point["checkpoint"]:
            points[name], settings[name] = point, own["settings"][name]
            continue
        had, has = settings.get(name, {}), own["settings"][name]
        equal = {m for m in point if m in had and had[m] == has.get(m)}
        more = {m: _with_groups(before[m], point[m]) for m in equal}
        points[name], settings[name] = before | point | more, had | has
    report = own | {"points": points, "settings": settings}
    kinds = {
        s["batch_norm"]
        for each in settings.values()
        for s in each.values()
        if "batch_norm" in s
    }
    words = "; ".join(BATCH_NORMS[kind] for kind in sorted(kinds))
    return report | ({"batch_norm": words} if words else {})


def _with_groups(before: Found, found: Found) -> Found:
    """Return what was found, with the groups of other sizes or balls found before."""
    if "groups" not in found:
        return found
    groups = {(g["m"], g["ball"]): g for g in (*before["groups"], *found["groups"])}
    return found | {"groups": list(groups.values())}


def _finite(value: Any) -> Any:
    """Return a value with null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _with_nan(value: Any) -> Any:
    """Return a value with NaN for what `_finite` made null."""
    if isinstance(value, dict):
        return {key: _with_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_nan(one) for one in value]
    return math.nan if value is None else value
