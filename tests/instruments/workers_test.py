"""Instruments on several workers: real processes, against one that is alone."""

import json
import shutil

import pytest

from tests import fixtures, runs, training
from tests.machines.workers_test import free_ports

FLAGS = (
    "--measures=eigenvalues,trace,worst_case,average_case,line",
    "--iterations=6",
    "--eigenvalues=2",
    "--trace_probes=2",
    "--m=8",
    "--m_examples=32",
    "--balls=2:0.05",
    "--restarts=1",
    "--steps=3",
    "--draws=2",
    "--line_points=5",
)


def sharpness(workdir, environment=None):
    return runs.Process(
        f"--workdir={workdir}",
        *FLAGS,
        module="sam_pod.sharpness",
        environment=environment,
    )


@pytest.mark.slow
def test_two_workers_measure_what_one_process_does(tmp_path):
    model = tmp_path / "small.keras"
    fixtures.small_model(shape=(8, 8, 3), classes=4).model.save(model)
    training.run(runs.small_config(tmp_path, num_epochs=1), tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "alone")
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    places = [
        {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        for index in range(2)
    ]
    together = [{"TF_CONFIG": json.dumps(place)} for place in places]
    processes = [sharpness(tmp_path / "run", place) for place in together]
    processes.append(sharpness(tmp_path / "alone"))
    codes = [process.wait() for process in processes]
    assert codes == [0, 0, 0], [process.stderr for process in processes]
    two, one = (
        json.loads((tmp_path / name / "sharpness.json").read_text())
        for name in ("run", "alone")
    )
    assert (two.pop("replicas"), one.pop("replicas")) == (2, 1)
    assert_close(two["points"], one["points"])


def assert_close(a, b, key=""):
    """Compare all numbers of two reports but the time they took."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a.keys() - {"seconds"}:
            assert_close(a[name], b[name], f"{key}.{name}")
    elif isinstance(a, list):
        assert len(a) == len(b), key
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_close(*pair, f"{key}[{i}]")
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=2e-3, abs=1e-5), key
    else:
        assert a == b, key
