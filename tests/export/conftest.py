"""A run stopped on its way, and the same run at its end, exported."""

import shutil
import threading

import pytest

from sam_pod.process import signals
from tests import fixtures, runs, training
from tests.export import trained


class StopWhenSaved(threading.Event):
    """A stop flag that is set as soon as a run has a checkpoint."""

    def __init__(self, workdir):
        super().__init__()
        self._checkpoints = workdir / "checkpoints"

    def is_set(self):
        return any(self._checkpoints.glob("ckpt-*.index"))


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory):
    """Return (config, workdir, step): a run without chance, stopped on its way."""
    folder = tmp_path_factory.mktemp("interrupted")
    model = folder / "model.keras"
    fixtures.small_model(shape=(8, 8, 3), classes=4).model.save(model)
    config = runs.small_config(
        folder,
        **{
            "num_epochs": 6,  # 5 steps each.
            "model.name": str(model),
            "data.augment": "",
            "data.standardize": True,
            "schedule.name": "cosine",
            "early_stopping.patience": 0,
            "early_stopping.restore_best_weights": False,
        },
    )
    with pytest.raises(signals.Interrupted):
        training.run(config, folder / "run", StopWhenSaved(folder / "run"))
    start = int(trained.values(folder / "run")["step"])
    assert 5 <= start <= 30 - 20
    return config, folder / "run", start


@pytest.fixture(scope="session")
def finished(interrupted):
    """Return (config, workdir, folder): the run at its end, exported by the command."""
    config, start, _ = interrupted
    workdir, output = start.parent / "finished", start.parent / "exported"
    shutil.copytree(start, workdir)
    training.run(config, workdir)
    code, lines, stderr = runs.main(
        f"--workdir={workdir}",
        f"--output={output}",
        "--batch_size=30",
        module="sam_pod.export",
    )
    assert (code, stderr) == (0, "")
    assert any("The latest checkpoint is ckpt-30-6: test loss" in x for x in lines)
    assert lines[-1].endswith(f"Exported step 30 to {output}")
    return config, workdir, output
