"""Instruments on workers and on a pod's hosts: real processes, against one alone."""

import json
import shutil

import pytest

from tests import fixtures, pod_test, runs, training
from tests.machines import workers_test

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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the workdir of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    fixtures.small_model(shape=(8, 8, 3), classes=4).model.save(folder / "small.keras")
    training.run(runs.small_config(folder, num_epochs=1), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def alone(run, tmp_path_factory):
    """Return the report of one process with one replica."""
    return measured(run, tmp_path_factory.mktemp("alone"), [{}])


def measured(run, folder, commands):
    """Return the report that these processes, the keywords of each, make together."""
    workdir = folder / "measured"
    shutil.copytree(run, workdir)
    processes = [
        runs.Process(
            *command.pop("words", ()),
            f"--workdir={workdir}",
            *FLAGS,
            **{"module": "sam_pod.sharpness", **command},
        )
        for command in commands
    ]
    codes = [process.wait() for process in processes]
    assert set(codes) == {0}, [process.stderr for process in processes]
    return json.loads((workdir / "sharpness.json").read_text())


@pytest.mark.slow
def test_two_workers_measure_what_one_process_does(run, alone, tmp_path):
    hosts = [f"127.0.0.1:{port}" for port in workers_test.free_ports(2)]
    places = [
        {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        for index in range(2)
    ]
    commands = [{"environment": {"TF_CONFIG": json.dumps(place)}} for place in places]
    two = measured(run, tmp_path, commands)
    assert (two["replicas"], alone["replicas"]) == (2, 1)
    assert_close(two["points"], alone["points"])


@pytest.mark.slow
def test_a_pods_hosts_measure_what_one_process_does(run, alone, tmp_path):
    with pod_test.hosts() as (_, address):
        words = "measure", f"--tpu={address}"
        two = measured(run, tmp_path, [{"module": "tests.pod", "words": words}])
    assert (two["replicas"], alone["replicas"]) == (2, 1)
    assert_close(two["points"], alone["points"])


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
