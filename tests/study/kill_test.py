"""A study of real runs, killed again and again."""

import glob
import shlex
import signal
import threading

import pytest

from sam_pod.run import curve
from tests import runs
from tests.study import pages

PAGE = """
from sam_pod.study import Arm, Study
def get_study(variant):
    return Study(
        "killed",
        (Arm("plain", {recipe!r}, {{"sam.rho": 0.0}}), Arm("SAM", {recipe!r})),
        seeds=(0,),
    )
"""
TICK_SECONDS = 0.02


def start(folder, output, *more):
    arguments = (f"--study={folder}/page.py", f"--output={folder}/{output}", *more)
    return runs.Process(*arguments, module="sam_pod.study")


def epochs_done(folders):
    return sum(len(curve.read(folder)) for folder in glob.glob(str(folders)))


def results(output):
    text = (output / "report.md").read_text()
    return text.split("## Spent by a run")[0] + text.split("## Test accuracy")[1]


@pytest.fixture
def page(tmp_path):
    config = runs.small_config(tmp_path, num_epochs=3, **{"sam.rho": 0.05})
    recipe = runs.write_recipe(tmp_path / "recipe.py", config)
    (tmp_path / "page.py").write_text(PAGE.format(recipe=recipe))
    return tmp_path


@pytest.mark.slow
def test_a_run_left_behind_while_its_libraries_are_read_is_waited_for(tmp_path):
    late = {"optimizer.epsilon": 5.0, "num_epochs": 3}
    text = PAGE.format(recipe=pages.RECIPE).replace("(0,)", f"(0,), overrides={late}")
    (tmp_path / "page.py").write_text(text)
    launcher = f"--launcher={shlex.join(pages.TRAINER)}"
    folder = tmp_path / "out/runs/plain"
    process = start(tmp_path, "out", launcher)
    while not (first := list(folder.glob("seed-0/reading-*"))):
        process.assert_runs()
        threading.Event().wait(TICK_SECONDS)
    process.kill()
    again = start(tmp_path, "out", launcher, "--jobs=2")
    while not list(folder.parent.glob("SAM/seed-0/reading-*")):
        again.assert_runs()
        threading.Event().wait(TICK_SECONDS)
    (folder.parent / "read").write_text("")
    assert again.wait() == 0, again.stderr
    assert list(folder.glob("seed-0/reading-*")) == first


def wait_for_epochs(process, folders, count):
    while epochs_done(folders) < count:
        process.assert_runs()
        threading.Event().wait(TICK_SECONDS)


def stop_gracefully(page, name):
    """Start a study and stop it with Ctrl-C within its first runs."""
    process = start(page, name, "--jobs=2")
    assert process.read_until("Starting: plain/seed-0")
    first = page / name / "runs/plain/seed-0"
    wait_for_epochs(process, first, 1)
    process.send(signal.SIGINT)
    assert process.wait() == 42
    log = first.with_suffix(".log").read_text()
    assert "SIGTERM: saving and stopping" in log and "Saved. Continue" in log


@pytest.mark.slow
def test_a_study_stopped_and_killed_three_times_ends_with_the_same_report(page):
    """Ctrl-C stops its runs gracefully, and it goes on; so it does after kills."""
    whole, killed = (page / name / "runs/*/seed-?" for name in ("whole", "killed"))
    assert start(page, "whole", "--jobs=2").wait() == 0
    stop_gracefully(page, "killed")
    for epochs in (2, 4, 6):
        process = start(page, "killed", "--jobs=2")
        if epochs == 2:
            assert process.read_until("Going on after epoch", "plain/seed-0")
        wait_for_epochs(process, killed, epochs)
        process.kill()
    last = start(page, "killed", "--jobs=2")
    assert last.wait() == 0, last.stderr
    assert results(page / "killed") == results(page / "whole")
    assert epochs_done(killed) == epochs_done(whole) == 3 + 6
    assert start(page, "killed").wait() == 0  # Nothing is left to do.
