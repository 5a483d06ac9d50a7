"""A run that an older version began, kept beside this file, goes on with today's.

Made with the version that had 50 modules side by side and one member of the family, in
/srv/run: `cut` was interrupted after 10 of 15 steps, `whole` was not; `data` and
`small.keras` are what they train. Both had the config of `runs.small_config`.
"""

import json
import pathlib
import tarfile

import numpy as np
import pytest

from tests import runs, training

KEPT = pathlib.Path(__file__).parent / "old_workdir.tar.xz"


@pytest.fixture
def folder(tmp_path):
    with tarfile.open(KEPT) as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / "cut" / "config.json"
    path.write_text(path.read_text().replace("/srv/run", str(tmp_path)))
    return tmp_path


def test_an_old_run_continues_to_the_end_that_it_had_without_an_interruption(folder):
    config = runs.small_config(folder, num_epochs=3)
    known = json.loads((folder / "cut" / "config.json").read_text())
    assert known["sam"].keys() < dict(config.sam).keys()  # Keys have come since.
    result = training.run(config, folder / "cut")
    whole = runs.result(folder / "whole")
    assert result["steps"] == whole["steps"] == 15
    # Bit for bit on one machine; the kernels of this one may round otherwise, which
    # Adam makes much of where a gradient is 0: the bias before BatchNorm, `weights/1`.
    clock = {"seconds", "examples_per_second", "config_digest", "versions"}
    for key in whole.keys() - clock:
        assert result[key] == pytest.approx(whole[key], rel=1e-4), key
    first = runs.checkpoint_values(folder / "whole")
    second = runs.checkpoint_values(folder / "cut")
    own = {"progress/seconds", "progress/last_loss", "weights/1", "stats/0"}
    for name in first.keys() - {f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in own}:
        np.testing.assert_allclose(first[name], second[name], 1e-5, 1e-6, err_msg=name)
