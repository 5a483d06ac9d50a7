"""A run that diverges says so, and keeps its last good checkpoint."""

import glob
import types

import pytest

from sam_pod import errors
from sam_pod.config import keys
from sam_pod.run import diverged
from tests import runs, training


def test_a_loss_that_is_not_finite_names_the_step(tmp_path):
    config = runs.small_config(
        tmp_path, **{"optimizer.name": "sgd", "optimizer.learning_rate": 9e36}
    )
    workdir = tmp_path / "run"
    with pytest.raises(
        errors.UserError, match=r"of step \d+ is (nan|inf).*9e\+36"
    ) as told:
        training.run(config, workdir)
    assert "checkpoint" not in str(told.value)
    assert not glob.glob(f"{workdir}/checkpoints/*.index")


def test_the_checkpoint_that_stays_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/ckpt-20-2.index").touch()
    session = types.SimpleNamespace(config=keys.defaults(), workdir=str(tmp_path))
    said = str(diverged.error("train/loss of step 21", float("nan"), session))
    assert said.endswith(f"; the last good checkpoint stays in {tmp_path}.")


@pytest.mark.slow
def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """A finite loss and gradient, and an update that overflows."""
    config = runs.small_config(
        tmp_path,
        **{
            "optimizer.name": "sgd",
            "optimizer.learning_rate": 9e36,
            "optimizer.momentum": 0.0,
            "optimizer.weight_decay": 1e6,
            "sam.rho": 0.0,
            "checkpoint.every_seconds": 1e-9,
        },
    )
    with pytest.raises(errors.UserError, match="training diverged"):
        training.run(config, tmp_path / "run")
    assert not glob.glob(f"{tmp_path}/run/checkpoints/*.index")
