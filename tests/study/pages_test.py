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
    study = plan.load(str(STUDIES / page))
    by_arm = trials.of(study)
    spent = [t.config.num_epochs * t.passes for ts in by_arm.values() for t in ts]
    assert max(spent) / min(spent) < 1.02
    assert len(study.seeds) >= (5 if "digits" in page else 3)
