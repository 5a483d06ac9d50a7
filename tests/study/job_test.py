"""A study that is run: what is missing, what fails, what is reported."""

import dataclasses
import json
import os
import re
import shutil
import threading

import pytest

from sam_pod import errors
from sam_pod.process import child, signals
from sam_pod.run import taken
from sam_pod.storage import files
from sam_pod.study import job, trials
from tests.study import pages, trainer
from tests.study.pages import PLAIN, SAM, study, with_overrides


def options(output, **fields):
    fields = {"jobs": 2, "launcher": pages.TRAINER, **fields}
    return job.Options(str(output), **fields)


def run(made, output, **fields):
    return job.run(made, options(output, **fields), threading.Event())


def lines(text, section):
    """Return the rows of a table of the report, by their first cell."""
    rows = text.split(f"## {section}\n")[1].split("\n## ")[0].splitlines()
    cells = [[c.strip() for c in r[1:-1].split("|")] for r in rows if "|" in r]
    return [tuple(row) for row in cells[2:]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(study(), folder)


def test_a_study_runs_what_its_page_says_and_reports_it(whole):
    folder, text = whole
    # 70 and 69 %, and 90 and 88.8 %, over two seeds; 12.706 is Student's quantile.
    assert lines(text, "Results") == [
        ("plain", "2/2", "69.50 ± 6.35 %", "0.3050 ± 0.0635")[:2]
        + ("69.50 ± 6.35 %", "1.0050 ± 0.0635", "69.50 ± 6.35 %", "1.0050 ± 0.0635"),
        ("SAM", "2/2", "89.40 ± 7.62 %", "0.8060 ± 0.0762")
        + ("89.40 ± 7.62 %", "0.8060 ± 0.0762"),
    ]
    first = lines(text, "Differences to plain, seed by seed")[0]
    assert first[:4] == (
        *("SAM", "test accuracy, last epoch", "2"),
        "+19.90 ± 1.27 points",
    )
    assert lines(text, "Spent by a run") == [
        ("plain", "60", "12", "10.0 %"),
        ("SAM", "60", "6", "10.0 %"),
    ]
    assert "†" not in "".join(r[0] for r in lines(text, "Results"))
    assert (folder / job.PLAN).exists() and (folder / "report.html").exists()
    for name in ("plain/seed-0", "plain/seed-1", "SAM/seed-0", "SAM/seed-1"):
        assert (folder / "runs" / name / "result.json").exists()


def test_each_run_has_as_many_cores_the_last_one_too(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "cores", lambda: [0, 0, 0, 0, 0])
    assert child.shares(2) == [[0, 0], [0, 0]]
    assert child.shares(7) == [[0]] * 7
    monkeypatch.undo()
    run(study(PLAIN, SAM), tmp_path)
    shutil.rmtree(tmp_path / "runs/SAM/seed-0")
    run(study(PLAIN, SAM), tmp_path)  # Which runs alone.
    logs = [path.read_text() for path in tmp_path.glob("runs/*/seed-?.log")]
    share = max(len(os.sched_getaffinity(0)) // 2, 1)
    said = re.findall(r"Cores: (\d+)", "".join(logs))
    assert said == [str(share)] * (len(logs) + 1)


def test_what_is_done_is_not_done_again(whole):
    folder, text = whole
    before = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/*/*")}
    assert run(study(), folder) == text
    assert {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/*/*")} == before
    with pytest.raises(errors.UserError, match="holds a study, whose runs"):
        taken.check(str(folder), "data")


def test_what_is_kept_without_weights_gives_the_report_again(whole, tmp_path):
    folder, text = whole
    kept = tmp_path / "kept"
    run(study(), folder, jobs=0, keep=str(kept))
    names = {p.name for p in kept.rglob("*") if p.is_file()}
    of_runs = {"config.json", "inputs.json", "result.json", "curve.csv"}
    assert names == of_runs | {"report.md", "report.html", "curve.svg"}
    assert (kept / "report.md").read_text() == text
    assert run(study(), tmp_path / "new", jobs=0, elsewhere=(str(kept),)) == text


def test_what_is_kept_of_another_study_is_not_written_over(whole, tmp_path):
    folder, _ = whole
    kept = tmp_path / "kept"
    run(study(), folder, jobs=0, keep=str(kept))
    before = {p: p.read_bytes() for p in kept.rglob("*") if p.is_file()}
    other = study(PLAIN, with_overrides(SAM, sam__rho=0.3), seeds=(0,))
    with pytest.raises(errors.UserError, match=r"kept/runs/SAM/seed-0.*sam\.rho"):
        run(other, tmp_path / "other", keep=str(kept))
    assert {p: p.read_bytes() for p in kept.rglob("*") if p.is_file()} == before
    # What an instrument has left before, and not now, does not stay.
    (kept / "runs/SAM/seed-0/sharpness.json").write_text("{}")
    run(study(), folder, jobs=0, keep=str(kept))
    assert {p: p.read_bytes() for p in kept.rglob("*") if p.is_file()} == before


def test_the_workdir_of_a_run_is_no_folder_for_a_study(whole, tmp_path):
    folder, _ = whole
    workdir = shutil.copytree(folder / "runs/SAM/seed-0", tmp_path / "run")
    with pytest.raises(errors.UserError, match=r"--output=.*run is the workdir of a"):
        run(study(), workdir)
    assert not (workdir / job.PLAN).exists()


def test_a_study_in_a_bucket_is_refused():
    with pytest.raises(errors.UserError, match=r"--output is gs://b/s; .* local"):
        run(study(), "gs://b/s")


def test_unequal_gradients_are_marked(tmp_path):
    text = run(study(budget="epochs", seeds=(0,)), tmp_path)
    assert [row[0] for row in lines(text, "Results")] == ["plain", "SAM †"]
    assert "SAM spends 2.00 times the gradients" in text


def test_flags_for_all_runs_lie_under_the_budget_in_what_is_run(tmp_path):
    text = run(study(seeds=(0,)), tmp_path, more=("--config.num_epochs=2",))
    assert [row[1] for row in lines(text, "Spent by a run")] == ["40", "40"]
    keys = [row[2] for row in lines(text, "Arms")]
    assert ["num_epochs=4" in keys[0], "num_epochs=2" in keys[1]] == [True, True]


def test_an_arm_that_diverges_is_a_row_and_the_rest_goes_on(tmp_path):
    wild = with_overrides(SAM, optimizer__epsilon=1.0)
    of_both = study(PLAIN, wild, seeds=(0,))
    text = run(of_both, tmp_path / "first", keep=str(tmp_path / "kept"))
    assert [row[:2] for row in lines(text, "Results")] == [
        ("plain", "1/1"),
        ("SAM", "0/1"),
    ]
    (row,) = lines(text, "Not finished")
    assert row[:2] == ("SAM/seed-0", "diverged") and "step 3 is nan" in row[2]
    again = run(of_both, tmp_path / "new", elsewhere=(str(tmp_path / "kept"),))
    assert again == text
    assert not (tmp_path / "new/runs").exists()


def test_a_run_that_fails_is_named_and_tried_again_at_the_next_start(tmp_path):
    wrong = study(PLAIN, with_overrides(SAM, optimizer__epsilon=2.0), seeds=(0,))
    for _ in range(2):
        with pytest.raises(errors.UserError, match=r"1 run.*failed: SAM/seed-0"):
            run(wrong, tmp_path)
        text = (tmp_path / "report.md").read_text()
        assert lines(text, "Not finished")[0][1:] == ("failed", "a key is wrong.")
        log = (tmp_path / "runs/SAM/seed-0.log").read_text()
    assert log.count("a key is wrong") == 2


def test_a_run_that_is_killed_goes_on_and_one_that_stands_still_is_given_up(tmp_path):
    killed = with_overrides(PLAIN, optimizer__epsilon=4.0)
    still = with_overrides(SAM, optimizer__epsilon=3.0)
    with pytest.raises(errors.UserError, match=r"1 run.*SAM/seed-0"):
        run(study(killed, still, seeds=(0,)), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert lines(text, "Results")[0][1] == "1/1"
    assert "without a step (42)" in lines(text, "Not finished")[0][2]


def test_a_workdir_of_another_config_is_a_line_and_stays_as_it_is(tmp_path):
    (trial,) = trials.of(study())["SAM"]
    config = trial.config.copy_and_resolve_references()
    config.seed, config.dtype = 1, "bfloat16"
    there = tmp_path / "runs/SAM/seed-1"
    trainer.train(config, there, 3)
    before = {p: p.read_bytes() for p in there.rglob("*") if p.is_file()}
    with pytest.raises(errors.UserError, match=r"1 folder.* SAM/seed-1.*move") as said:
        run(study(), tmp_path)
    assert "again" not in str(said.value)  # Which would change nothing.
    text = (tmp_path / "report.md").read_text()
    assert [row[1] for row in lines(text, "Results")] == ["2/2", "1/2"]
    (row,) = lines(text, "Not finished")
    assert row[:2] == ("SAM/seed-1", "another run") and "dtype" in row[2]
    assert {p: p.read_bytes() for p in there.rglob("*") if p.is_file()} == before


def test_a_sweep_is_decided_on_validation_and_the_chosen_value_alone_is_tested(
    tmp_path,
):
    rates = {"optimizer.learning_rate": (1e-3, 2e-3)}
    rhos = {"sam.rho": (0.3, 0.2)}
    tuned = study(
        dataclasses.replace(PLAIN, sweep=rates), dataclasses.replace(SAM, sweep=rhos)
    )
    text = run(tuned, tmp_path)
    rows = lines(text, "Values tried, on validation")
    assert [(r[1], r[3], r[5]) for r in rows if r[0] == "SAM"] == [
        ("sam.rho=0.3", "80.00 %", "chosen"),
        ("sam.rho=0.2", "70.00 %", ""),
    ]
    assert lines(text, "Results")[1][:3] == ("SAM", "2/2", "99.35 ± 8.26 %")
    done = [p for p in tmp_path.glob("runs/SAM/*/*") if p.is_dir()]
    assert {str(p.relative_to(tmp_path / "runs")) for p in done} == {
        *(f"SAM/sam.rho={rho}/seed-0" for rho in (0.3, 0.2)),
        "SAM/sam.rho=0.3/seed-1",
    }


def test_what_the_instruments_left_is_shown_by_its_keys(whole, tmp_path):
    folder, _ = whole
    ball = {"m": 16, "ball": "2:0.05", "loss": 1.0, "standard_error": 0.1}
    for seed, value in enumerate((4.0, 6.0)):
        eigenvalues = {
            **{"largest": [value, 2.0, 1.0], "residuals": [0.5, 0.6, 0.7]},
            **{"smallest": -1.0, "products": 90, "seconds": 3.0},
        }
        line = {"points": [1, 2], "loss": [3, 4]}
        groups = [{**ball, "rise": value / 4}, {**ball, "ball": "inf:1", "rise": None}]
        point = {
            **{"step": 9 + 21 * seed, "eigenvalues": eigenvalues, "line": line},
            "worst_case": {"groups": groups, "seconds": 1.0},
        }
        content = {"schema_version": 1, "batch_norm": "as in use"}
        content |= {"points": {"last": point}, "plan": {"steps": seed, "at": [seed]}}
        path = folder / f"runs/SAM/seed-{seed}/sharpness.json"
        path.write_text(json.dumps(content))
    text = run(study(), tmp_path, jobs=0, elsewhere=(str(folder),))
    for path in folder.glob("runs/SAM/*/sharpness.json"):
        path.unlink()
    assert lines(text, "Sharpness") == [
        ("last.step", "-", "19.5 ± 1.3e+02"),
        ("last.eigenvalues.largest.1", "-", "5 ± 13"),
        ("last.eigenvalues.largest.2", "-", "2 ± 0"),
        ("last.eigenvalues.largest.3", "-", "1 ± 0"),
        ("last.eigenvalues.residuals.1", "-", "0.5 ± 0"),
        ("last.eigenvalues.smallest", "-", "-1 ± 0"),
        ("last.worst_case: m 16, ball 2:0.05", "-", "1.25 ± 3.2"),
    ]
    assert "sharpness.json of 2 of 4 finished runs" in text
    assert "in the file alone. Batch_norm: as in use.\n" in text
    assert "not measured alike in all runs: `steps` is 0 or 1. Compare" in text
    assert "SAM/seed-0, last, is that of step 9, and its last weights are" in text


def test_arms_that_differ_in_what_depends_on_replicas_are_two(tmp_path):
    """Each has its own runs, here and from elsewhere; the other's are named."""
    four = {**SAM.overrides, "sam.sync": "replica", "runtime.cpu_replicas": 4}
    arms = (
        with_overrides(SAM, sam__sync="replica"),
        dataclasses.replace(SAM, name="four", overrides=four),
    )
    both = study(*arms, seeds=(0,))
    there = tmp_path / "there"
    text = run(both, there)
    # Those of the other arm come first among equal configs.
    (there / "runs/SAM").rename(there / "runs/z")
    again = run(both, tmp_path / "new", jobs=0, elsewhere=(str(there),))
    assert [row[1] for row in lines(again, "Results")] == ["1/1", "1/1"]
    shutil.rmtree(there / "runs/z")
    lacks = run(both, tmp_path / "new", jobs=0, elsewhere=(str(there),))
    (row,) = lines(lacks, "Not finished")
    assert row[:2] == ("SAM/seed-0", "missing")
    assert "['runtime.cpu_replicas'], hence TensorFlow on 4 replicas, SAM's" in row[2]
    assert "spread" not in text + again and "of one update" not in text + again
    # What is another update by its keys alone is one in an arm's own folder, too.
    (there / "runs/four").rename(there / "runs/SAM")
    with pytest.raises(errors.UserError, match="SAM/seed-0"):
        run(study(arms[0], seeds=(0,)), there)


def test_a_study_that_is_asked_to_stop_stops_its_runs_and_says_so(tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(signals.Interrupted):
        job.run(study(), options(tmp_path), stop)
    assert (tmp_path / "report.md").exists()


def test_two_studies_in_one_folder_are_refused(tmp_path):
    with (
        files.lock(str(tmp_path / ".lock")),
        pytest.raises(errors.UserError, match="Another study is running"),
    ):
        run(study(), tmp_path)
