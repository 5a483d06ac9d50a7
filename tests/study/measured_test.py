"""Whether runs were measured alike, whatever wrote their reports."""

import dataclasses
import types

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


def test_what_was_measured_before_a_run_went_on_is_named():
    """Its best weights may be others as well, or may not."""
    run = types.SimpleNamespace(name="SAM/seed-0")
    points = {"last": {"step": 40}, "best": {"step": 30}}

    def lines(**result):
        one = found.Found(
            *(run, "", found.FINISHED), result=result, sharpness={"points": points}
        )
        return measured.notes([one])

    assert lines(steps=40, epochs=4, best_epoch=3) == []
    assert lines(steps=40, epochs=4, best_epoch=0) == []  # It validates on nothing.
    assert lines() == []
    last, best = lines(steps=80, epochs=8, best_epoch=7)
    assert "SAM/seed-0, last, is that of step 40, and its last weights are" in last
    assert "best, is that of step 30, and its best weights are those of step 70" in best
