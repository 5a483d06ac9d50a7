"""Another process that has the workdir between this one's checks and its lock."""

import collections
import json

import pytest

from sam_pod import errors
from sam_pod.process import signals
from sam_pod.run import loading
from tests import runs
from tests.training import StopAfter, run


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a function that lets something happen while a run reads its data."""
    load = loading.load

    def set_up(act):
        def load_and_act(*arguments):
            monkeypatch.setattr(loading, "load", load)
            found = load(*arguments)
            act()
            return found

        monkeypatch.setattr(loading, "load", load_and_act)

    return set_up


def config(tmp_path, **overrides):
    return runs.small_config(tmp_path, num_epochs=1, **overrides)


def test_a_run_of_another_config_is_not_gone_on_with(tmp_path, meanwhile):
    def other():
        with pytest.raises(signals.Interrupted):
            run(config(tmp_path), tmp_path / "run", StopAfter(3))

    meanwhile(other)
    mine = config(tmp_path, **{"optimizer.learning_rate": 0.5})
    with pytest.raises(
        errors.UserError, match=r"another config \(`optimizer.learning_rate` was 0.01"
    ):
        run(mine, tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["optimizer"]["learning_rate"] == 0.01
    run(config(tmp_path), tmp_path / "run")  # The lock is free.


def test_a_run_that_another_process_has_finished_is_not_tested_again(
    tmp_path, meanwhile
):
    meanwhile(lambda: run(config(tmp_path), tmp_path / "run"))
    with pytest.raises(errors.UserError, match="run the same command again"):
        run(config(tmp_path), tmp_path / "run")
    counts = collections.Counter(runs.points(tmp_path / "run"))
    assert ("test/loss", 5) in counts and set(counts.values()) == {1}
    assert run(config(tmp_path), tmp_path / "run") == runs.result(tmp_path / "run")


def test_a_run_that_another_process_has_begun_goes_on(tmp_path, meanwhile):
    def other():
        with pytest.raises(signals.Interrupted):
            run(config(tmp_path), tmp_path / "run", StopAfter(3))

    meanwhile(other)
    found = run(config(tmp_path), tmp_path / "run")
    expected = run(config(tmp_path), tmp_path / "alone")
    runs.assert_equal_results(expected, found)
