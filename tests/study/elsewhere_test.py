"""Runs made elsewhere: taken by their configs, or said why not."""

import re

import pytest

from sam_pod import errors
from tests.study.job_test import run
from tests.study.pages import study


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(study(), folder)


def test_runs_made_elsewhere_are_known_by_their_configs(whole, tmp_path):
    folder, text = whole
    found = run(study(), tmp_path / "new", jobs=0, elsewhere=(str(folder),))
    assert found == text
    assert not (tmp_path / "new/runs").exists()
    with pytest.raises(errors.UserError, match=r"--runs=.*gone is no folder"):
        run(study(), tmp_path / "new", elsewhere=(f"{tmp_path}/gone",))


def test_runs_of_which_none_is_the_studys_are_named_with_what_differs(
    whole, tmp_path, caplog
):
    folder, _ = whole
    caplog.set_level("INFO", "absl")
    other = study(overrides={"num_epochs": 5}, seeds=(0,))
    text = run(other, tmp_path / "new", jobs=0, elsewhere=(str(folder),))
    assert "not begun" in text
    said = re.search(r"--runs: of 4 there none is .* differs in (\S+)", caplog.text)
    assert said[1] == "num_epochs."
    caplog.clear()
    (tmp_path / "empty").mkdir()
    run(other, tmp_path / "new", jobs=0, elsewhere=(f"{tmp_path}/empty",))
    assert "no run there that has finished or diverged" in caplog.text
    caplog.clear()
    run(study(), tmp_path / "fits", jobs=0, elsewhere=(str(folder),))
    assert "--runs" not in caplog.text
