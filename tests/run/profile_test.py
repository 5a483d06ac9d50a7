"""A profile of the steps asked for."""

import glob

import pytest
from tensorboard_plugin_profile.convert import raw_to_tool_data

from sam_pod import errors
from sam_pod.run import pace
from tests import runs, training


@pytest.mark.slow
def test_a_profile_holds_the_steps_asked_for(tmp_path, monkeypatch):
    exactly = []
    original = pace.PacedLoop.exactly
    monkeypatch.setattr(
        pace.PacedLoop,
        "exactly",
        lambda self, n: (exactly.append(n), original(self, n))[1],
    )
    config = runs.small_config(tmp_path, num_epochs=1, profile_steps=2)
    training.run(config, tmp_path / "run")
    assert 2 in exactly
    traces = glob.glob(f"{tmp_path}/run/plugins/profile/*/*.xplane.pb")
    assert len(traces) == 1
    # The profile plugin's own reader, which TensorBoard's page calls.
    table, _ = raw_to_tool_data.xspace_to_tool_data(traces, "framework_op_stats^", {})
    assert "Conv2DBackpropFilter" in str(table)


@pytest.mark.slow
def test_a_profile_that_cannot_be_written_is_the_users(tmp_path):
    config = runs.small_config(tmp_path, num_epochs=1, profile_steps=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plugins").write_text("")
    with pytest.raises(errors.UserError, match="Cannot write under"):
        training.run(config, tmp_path / "run")
