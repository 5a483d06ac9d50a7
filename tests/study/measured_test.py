"""Whether runs were measured alike, whatever wrote their reports."""

import dataclasses

import pytest

from sam_pod.instruments.plan import Plan
from sam_pod.study import found, measured

PLAN = Plan(examples=0, m_examples=1024, steps=20, trace_probes=10)
OLD = {
    **{"schema_version": 1, "plan": dataclasses.asdict(PLAN), "examples": 80},
    "points": {"last": {"step": 5, "trace": {}, "worst_case": {}}},
}


def new(plan, examples=80, measures=("trace", "worst_case"), batch_size=16):
    settings = {m: plan.settings(m, examples, batch_size, 1) for m in measures}
    return {"schema_version": 2, "points": {"last": {}}, "settings": {"last": settings}}


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ((OLD, new(PLAN)), ""),
        ((new(PLAN), new(PLAN), {}), ""),
        # What the numbers of no measure that both have depend on.
        ((new(PLAN), new(dataclasses.replace(PLAN, draws=3, iterations=9))), ""),
        ((new(PLAN), new(PLAN, 40, ["line"])), ""),
        ((OLD, new(dataclasses.replace(PLAN, steps=3))), "`steps` is 20 or 3"),
        (
            (new(PLAN), new(PLAN, 40)),
            "`examples` is 80 or 40, `m_examples` is 80 or 40",
        ),
        (
            (new(PLAN), new(dataclasses.replace(PLAN, batch_norm="batch"))),
            '`batch_norm` is "running" or "batch"',
        ),
    ],
)
def test_runs_that_were_not_measured_alike_are_named(reports, words):
    runs = [found.Found(None, "", found.FINISHED, sharpness=r) for r in reports]
    lines = measured.notes(runs)
    assert len(lines) == bool(words)
    assert words in "".join(lines)
