"""The studies that the repository has: each one is a study that could start."""

import importlib.util
import pathlib

import pytest

from sam_pod.study import plan, trials

STUDIES = pathlib.Path(__file__).parent.parent.parent / "configs/studies"


def pages():
    for path in sorted(STUDIES.glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for variant in getattr(module, "VARIANTS", ("",)):
            yield f"{path.stem}.py:{variant}".rstrip(":")


@pytest.mark.parametrize("page", list(pages()))
def test_a_page_is_a_study_whose_arms_spend_alike(page):
    """Gradients, with several seeds; or epochs, where it shows a short run."""
    study = plan.load(str(STUDIES / page))
    every = [trial for each in trials.of(study).values() for trial in each]
    if study.budget == "epochs":
        assert len({trial.config.num_epochs for trial in every}) == 1
        assert max(trial.config.num_epochs for trial in every) <= 5
        return
    spent = [trial.config.num_epochs * trial.passes for trial in every]
    assert max(spent) / min(spent) < 1.02
    assert len(study.seeds) >= (5 if "digits" in page else 3)
