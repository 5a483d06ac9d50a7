"""Runs on two replicas: accepted or refused, and continued bit for bit."""

import logging
import os

import pytest

from sam_pod import errors
from sam_pod.process import signals
from tests import fixtures, runs, training


@pytest.mark.slow
def test_another_number_of_replicas_is_another_run_unless_that_is_accepted(
    tmp_path, caplog
):
    caplog.set_level(logging.INFO, "absl")
    config = runs.small_config(tmp_path, **{"sam.sync": "replica", "num_epochs": 1})
    with pytest.raises(signals.Interrupted):
        training.run(config, tmp_path / "run", training.StopAfter(1))
    before = sorted(os.listdir(tmp_path / "run"))
    two = fixtures.mirrored(2)
    with pytest.raises(errors.UserError, match="the m of SAM goes from 16 to 8 ex"):
        training.run(config, tmp_path / "run", strategy=two)
    assert sorted(os.listdir(tmp_path / "run")) == before
    result = training.run(config, tmp_path / "run", strategy=two, accepted=["replicas"])
    assert (result["replicas"], result["ascent_examples"]) == (2, 8)
    (change,) = result["changes"]
    assert change["from"]["replicas"] == 1
    assert 0 < change["step"] < result["steps"]
    assert "From 1 replica to 2 replicas, as accepted" in caplog.text


@pytest.mark.slow
def test_a_run_with_dropout_on_2_replicas_continues_bit_for_bit(tmp_path):
    config = runs.small_config(tmp_path, **{"sam.sync": "replica", "num_epochs": 2})
    strategy = fixtures.mirrored(2)
    expected = training.run(config, tmp_path / "a", strategy=strategy)
    with pytest.raises(signals.Interrupted):
        training.run(config, tmp_path / "b", training.StopAfter(3), strategy)
    assert (
        training.run(config, tmp_path / "b", strategy=strategy)["steps"]
        == expected["steps"]
    )
    runs.assert_equal_checkpoints(tmp_path / "a", tmp_path / "b")
