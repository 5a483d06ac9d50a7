"""Reports of several commands: what each has found stays, or a copy keeps it."""

import json
import math

import pytest

from sam_pod import errors
from sam_pod.instruments import report
from sam_pod.instruments.plan import Plan

HESSIAN = {"examples": 80, "batch_norm": "running", "seed": 0}
TRACE = {**HESSIAN, "trace_probes": 2}
GROUPS = {"m_examples": 32, "seed": 0, "restarts": 1, "steps": 3}


def found(name="last", checkpoint="ckpt-5-1", **measures):
    """Return the report of one command: by measure what was found, and its settings."""
    point = {"checkpoint": checkpoint, "step": int(checkpoint.split("-")[1])}
    return {
        "schema_version": report.SCHEMA_VERSION,
        "weights": 9,
        "points": {name: point | {m: dict(f) for m, (f, _) in measures.items()}},
        "settings": {name: {m: s for m, (_, s) in measures.items()}},
    }


def begin(tmp_path, own):
    """Say what a command is about to measure, as it does before it measures."""
    points = {name: point["checkpoint"] for name, point in own["points"].items()}
    (settings,) = own["settings"].values()
    report.keep_what_differs(str(tmp_path), points, settings)


def run(tmp_path, own):
    begin(tmp_path, own)
    report.add(str(tmp_path), own)
    return read(tmp_path / report.FILE)


def read(path):
    return json.loads(path.read_text())


def kept(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())[:-1]


def test_other_checkpoints_and_other_measures_stay(tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    eigenvalues = {**HESSIAN, "iterations": 90, "eigenvalues": 5}
    first = {"eigenvalues": ({"smallest": -1.0}, eigenvalues)}
    run(tmp_path, found(**first))
    run(tmp_path, found("best", "ckpt-4-1", **first))
    whole = run(tmp_path, found(trace=({"trace": math.nan}, TRACE)))
    again = run(tmp_path, found(trace=({"trace": 3.0}, TRACE)))
    assert whole["points"] == {
        "last": {
            **{"checkpoint": "ckpt-5-1", "step": 5},
            **{"eigenvalues": {"smallest": -1.0}, "trace": {"trace": None}},
        },
        "best": {
            **{"checkpoint": "ckpt-4-1", "step": 4},
            "eigenvalues": {"smallest": -1.0},
        },
    }
    assert whole["settings"]["last"] == {"eigenvalues": eigenvalues, "trace": TRACE}
    assert whole["batch_norm"].startswith("BatchNorm normalizes with its running")
    assert again["points"]["last"]["trace"] == {"trace": 3.0}
    assert (kept(tmp_path), caplog.messages) == ([], [])


def test_groups_of_other_sizes_and_balls_stay_beside_each_other(tmp_path):
    def of(*groups):
        words = [{"m": m, "ball": ball, "rise": rise} for m, ball, rise in groups]
        return found(worst_case=({"groups": words}, GROUPS))

    run(tmp_path, of((8, "2:0.05", 0.1), (8, "2:0.1", 0.2)))
    own = of((8, "2:0.1", 0.2), (32, "2:0.1", 0.3))
    groups = run(tmp_path, own)["points"]["last"]["worst_case"]["groups"]
    assert [g["rise"] for g in groups] == [0.1, 0.2, 0.3]
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("checkpoint", "settings", "words"),
    [
        ("ckpt-5-1", {**TRACE, "trace_probes": 9}, "trace_probes 2, now 9"),
        (
            "ckpt-5-1",
            {**TRACE, "batch_norm": "batch", "batch_size": 16, "replicas": 1},
            "batch_norm running, now batch",
        ),
        ("ckpt-9-2", TRACE, "trace of last at ckpt-5-1"),
    ],
)
def test_what_is_replaced_by_other_numbers_is_kept_and_a_line_says_so(
    tmp_path, caplog, checkpoint, settings, words
):
    caplog.set_level("INFO", "absl")
    before = run(tmp_path, found(trace=({"trace": 1.0}, TRACE)))
    for number, value in ((1, 2.0), (2, 1.0)):
        is_new = number == 1
        own = found(
            checkpoint=checkpoint if is_new else "ckpt-5-1",
            trace=({"trace": value}, settings if is_new else TRACE),
        )
        assert run(tmp_path, own)["points"]["last"]["trace"] == {"trace": value}
    assert read(tmp_path / "sharpness-1.json") == before
    assert kept(tmp_path) == ["sharpness-1.json", "sharpness-2.json"]
    assert words in caplog.messages[0] and "sharpness-1.json" in caplog.messages[0]
    assert len(caplog.messages) == 2


def test_what_stays_under_other_settings_is_named_in_one_line(tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    run(tmp_path, found(trace=({"trace": 1.0}, TRACE)))
    line = {"examples": 40, "seed": 1, "line_points": 5}
    run(tmp_path, found(line=({"losses": [1.0]}, line)))
    assert caplog.messages == [
        "As it was measured stays: trace of last (examples 80, now 40, seed 0, now 1)."
    ]


def test_a_report_of_version_1_goes_on(tmp_path):
    """Its one plan was that of each of its measures."""
    old = {
        "schema_version": 1,
        "plan": {"examples": 0, "seed": 0, "trace_probes": 2, "of_another": 1},
        **{"examples": 80, "replicas": 1},
        "points": {
            "last": {"checkpoint": "ckpt-5-1", "step": 5, "trace": {"trace": 1.0}}
        },
    }
    (tmp_path / report.FILE).write_text(json.dumps(old))
    line = {"examples": 80, "seed": 0, "line_points": 5}
    got = run(tmp_path, found(line=({"losses": [1.0]}, line)))
    assert got["settings"] == {"last": {"trace": TRACE, "line": line}}
    assert got["points"]["last"]["trace"] == {"trace": 1.0}
    assert (got["schema_version"], "plan" in got) == (report.SCHEMA_VERSION, False)


def test_a_report_of_a_later_version_is_refused_and_stays(tmp_path):
    path = tmp_path / report.FILE
    path.write_text('{"schema_version": 3}')
    with pytest.raises(errors.UserError, match=r"schema version 3.*: move it away"):
        begin(tmp_path, found(trace=({"trace": 1.0}, TRACE)))
    assert path.read_text() == '{"schema_version": 3}'


def test_settings_are_what_the_numbers_of_a_measure_depend_on():
    plan = Plan(batch_norm="batch", m_examples=50)
    assert plan.settings("density", 64, 32, 2) == {
        **{"examples": 64, "batch_norm": "batch", "seed": 0},
        **{"iterations": 90, "density_probes": 1, "batch_size": 32, "replicas": 2},
    }
    assert plan.settings("average_case", 40, 32, 2) == {
        **{"m_examples": 40, "seed": 0, "draws": 10},
    }
    expected = {"examples": 80, "seed": 0, "plane_points": 15}
    assert plan.settings("plane", 80, 32, 2) == expected
