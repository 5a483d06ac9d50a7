"""The results that are kept: their tables are those that their runs give."""

import pathlib
import threading

import pytest

from sam_pod.study import job, plan

ROOT = pathlib.Path(__file__).parent.parent.parent
# By folder of docs/results: the page of its study.
PAGES = {
    "digits0": "digits_noise.py:0",
    "digits20": "digits_noise.py:20",
    "digits40": "digits_noise.py",
    "digits60": "digits_noise.py:60",
    "digits80": "digits_noise.py:80",
    "digits_family": "digits_family.py",
    "digits_strong": "digits_strong.py",
    "wrn16_4": "wrn16_4.py",
}


def drawn(folder):
    """Return the picture without how it looks; None where nothing was validated."""
    path = folder / "curve.svg"
    return path.read_text().partition("</style>")[2] if path.exists() else None


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_can_be_computed_again_from_the_runs_that_are_kept(name, tmp_path):
    kept = ROOT / "docs/results" / name
    study = plan.load(str(ROOT / "configs/studies" / PAGES[name]))
    options = job.Options(str(tmp_path), jobs=0, elsewhere=(str(kept),))
    assert (
        job.run(study, options, threading.Event()) == (kept / "report.md").read_text()
    )
    assert drawn(tmp_path) == drawn(kept)


def test_each_folder_of_results_has_a_page_and_no_weights():
    results = ROOT / "docs/results"
    assert {path.name for path in results.iterdir()} == set(PAGES)
    assert all(path.stat().st_size < 200_000 for path in results.rglob("*"))
