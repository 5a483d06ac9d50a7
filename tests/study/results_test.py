"""The results that are kept: their tables are those that their runs give."""

import json
import pathlib
import re
import threading

import numpy as np
import pytest
from scipy import stats

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


def last_accuracies(folder):
    """Return the accuracies of the last epoch, in percent, by arm and seed.

    An arm of a sweep is there with the value that was tested with all seeds.
    """
    found = {}
    for path in (ROOT / "docs" / folder / "runs").rglob("result.json"):
        *names, seed = path.parent.relative_to(ROOT / "docs" / folder / "runs").parts
        tested = json.loads(path.read_text()).get("test_with")
        if tested:
            accuracy = 100 * tested["last"]["accuracy"]
            found.setdefault(tuple(names), {})[seed] = accuracy
    return {
        names[0]: np.array([by_seed[seed] for seed in sorted(by_seed)])
        for names, by_seed in found.items()
        if len(by_seed) == 5
    }


def mean_and_half(values):
    """Return the mean and half of Student's 95 % interval, as the docs round them."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{values.mean():.1f}", f"{half:.1f}"


def rows_of_the_docs():
    """Yield a report's folder, an arm and the figures of its row in docs/studies.md."""
    page = (ROOT / "docs/studies.md").read_text()
    figures = re.compile(r"([-+]?[0-9.]+) ± ([0-9.]+)")
    for line in page.splitlines():
        cells = [cell.strip(" *") for cell in line.split("|")]
        found = [figures.match(cell) for cell in cells]
        pairs = [match.groups() for match in found if match]
        if line.startswith("|") and "results/digits" in line:
            folder = re.search(r"results/digits[0-9]+", line)[0]
            base, sam, difference = pairs
            yield folder, "baseline", [base]
            yield folder, "SAM", [sam, difference]
    for folder in ("results/digits_family", "results/digits_strong"):
        after = page.partition(f"]({folder}/report.md)")[2]
        table = after.partition("| baseline |")[2].partition("\n\n")[0]
        for line in f"| baseline |{table}".splitlines():
            name = line.split("|")[1].strip(" *").replace(" (AdamW)", "")
            # A column of early stopping may follow: it is of other weights.
            pairs = figures.findall(line)
            yield folder, name, pairs[: 1 if name == "baseline" else 2]


def test_the_docs_round_what_the_runs_have_once():
    count = 0
    for folder, name, told in rows_of_the_docs():
        arms = last_accuracies(folder)
        values = arms[name.replace(" ", "-")]
        expected = [mean_and_half(values)]
        if len(told) == 2:
            mean, half = mean_and_half(values - arms["baseline"])
            expected.append((f"{float(mean):+.1f}", half))
        assert told == expected, f"{folder}: {name}"
        count += 1
    assert count == 2 * 5 + 11 + 8
