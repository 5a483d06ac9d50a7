"""The report as a page: whole, alone, and with curves where the figures are."""

import dataclasses
import math
import re
from xml.etree import ElementTree

import pytest

from sam_pod.pages import svg
from sam_pod.study import choice, curves, found, report, trials
from sam_pod.study import summary as summary_lib
from tests.study import trainer
from tests.study.pages import study


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = study()

    def look(run):
        workdir = folder / run.name
        if not workdir.exists():
            config = run.trial.config.copy_and_resolve_references()
            config.seed = run.seed
            trainer.train(config, workdir, config.num_epochs)
        return found.look(run, str(workdir))

    decided = choice.arms(made, trials.of(made), look, lambda found: found.is_settled)
    return summary_lib.of(made, decided, look)


def parts(summary):
    page = report.page(summary).removeprefix("<!DOCTYPE html>\n")
    return page, ElementTree.fromstring(page)


def test_the_page_is_whole_and_needs_no_network(summary):
    page, tree = parts(summary)
    assert not re.search(r"(?:src|href)=|@import|url\(", page)
    heads = [e.text for e in tree.iter("h2")]
    assert heads == re.findall(r"^## (.*)$", report.markdown(summary), re.M)
    cells = [e.text for e in tree.iter("td")]
    assert "69.50 ± 6.35 %" in cells


def test_a_name_in_angles_is_no_tag(summary):
    made = dataclasses.replace(summary.study, title="a <b> of 1<2, <none>")
    text = report.markdown(dataclasses.replace(summary, study=made))
    assert text.startswith("# a &lt;b> of 1<2, &lt;none>\n")


def test_curves_end_where_their_runs_do(summary):
    _, tree = parts(summary)
    pictures = list(tree.iter("svg"))
    assert [p.find("title").text for p in pictures] == [
        "Validation accuracy by gradients",
        "Validation accuracy by seconds",
    ]
    for picture in pictures:
        lines = {
            p.get("data-arm"): p for p in picture.iter("path") if p.get("data-arm")
        }
        assert set(lines) == {"plain", "SAM"}
        ends = {
            name: [tuple(map(float, pair.split())) for pair in re.split("[ML]", d)[1:]]
            for name, d in ((n, p.get("d")) for n, p in lines.items())
        }
        assert [len(ends[name]) for name in ("plain", "SAM")] == [6, 3]  # Epochs.
        # Equal gradients, so both end at one place; SAM's accuracy is higher, so y is
        # lower.
        assert ends["SAM"][-1][1] < ends["plain"][-1][1]
        width = ends["plain"][-1][0] - ends["SAM"][-1][0]
        is_time = "seconds" in picture.find("title").text
        assert (width > 1) if is_time else (abs(width) < 1e-6)
        for corners in ends.values():
            assert all(0 < x < svg.WIDTH for x, _ in corners)


def test_a_report_says_which_labels_are_wrong(summary):
    noise = {"rate": 0.8, "kind": "including", "seed": 0, "clean_share": 0.2812}
    runs = [
        dataclasses.replace(each, result={**each.result, "label_noise": noise})
        for each in summary.arms[1].runs
    ]
    arms = (summary.arms[0], dataclasses.replace(summary.arms[1], runs=tuple(runs)))
    (line,) = summary_lib.labels(arms)
    assert line == (
        f"{arms[1].name}: label noise 0.8 (symmetric, the true class included; seed "
        "0), 28.12 % of the training labels are right."
    )


def test_a_band_is_the_interval(summary):
    plain, _ = curves.of(summary.arms, lambda point: point.gradients)
    assert plain.x == (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
    last = plain.y[-1]
    # Two seeds, one point apart: half of the interval is 12.706 half points.
    assert last.half == pytest.approx(12.706 / 2, abs=1e-3)
    assert last.mean == pytest.approx(49.5)


def test_no_seed_no_curve_and_one_seed_no_band(summary):
    alone = [dataclasses.replace(a, runs=a.runs[:1]) for a in summary.arms]
    (plain, _) = curves.of(alone, lambda point: point.seconds)
    assert all(math.isnan(mean.half) for mean in plain.y)
    assert "band" not in curves.picture("k", "t", "x", [plain])
    nothing = [dataclasses.replace(a, runs=()) for a in summary.arms]
    assert curves.of(nothing, lambda point: point.seconds) == []


def test_the_picture_stands_alone(summary):
    ElementTree.fromstring(report.picture(summary))


def test_a_report_says_that_all_spend_alike_only_where_they_do(summary):
    assert "All arms spend as many gradients" in report.markdown(summary)
    plain, sam = summary.arms
    arms = (plain, dataclasses.replace(sam, unequal=1.5))
    text = report.markdown(dataclasses.replace(summary, arms=arms))
    assert "All arms spend" not in text and "All arms were to spend" in text
    assert "marked † have spent others" in text


def test_a_page_says_that_validation_is_held_out_only_where_it_is(summary):
    assert "held out of the training set" in report.page(summary)
    plain, sam = summary.arms
    config = sam.trial.config.copy_and_resolve_references()
    config.data.validation = "split"
    trial = dataclasses.replace(sam.trial, config=config)
    arms = (plain, dataclasses.replace(sam, trial=trial))
    page = report.page(dataclasses.replace(summary, arms=arms))
    assert "held out of the training set" not in page


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((found.DIVERGED, found.OTHER), "no value was trained to its end"),
        ((found.DIVERGED, found.UNFINISHED), "no value is chosen yet"),
    ],
)
def test_a_report_says_why_no_value_is_chosen(summary, states, words):
    run = summary.arms[0].runs[0]
    tried = tuple(
        choice.Tried(run.run.trial, (dataclasses.replace(run, state=state),))
        for state in states
    )
    decided = [choice.Arm("plain", tried, None), choice.Arm("SAM", (), None)]
    lacks = summary_lib.of(summary.study, decided, lambda run: None)
    assert f"plain: {words}, so nothing is tested." in lacks.notes
