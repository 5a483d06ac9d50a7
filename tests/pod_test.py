"""A coordinator over two gRPC servers, which stand in for the hosts of a pod."""

import contextlib
import json
import os
import shutil
import signal

import pytest

from sam_pod.config import recipes
from tests import fixtures, runs, training
from tests.machines import workers_test

HOST_CPUS = [f"/job:worker/replica:0/task:{i}/device:CPU:0" for i in range(2)]


@contextlib.contextmanager
def hosts(cwd=None):
    """Start two hosts; give (their processes, the --tpu of both)."""
    ports = workers_test.free_ports(2)
    servers = [
        runs.Process("server", port, module="tests.pod", cwd=cwd) for port in ports
    ]
    try:
        for server in servers:
            assert server.read_until("Serving"), server.stderr
        yield servers, ",".join(f"grpc://127.0.0.1:{port}" for port in ports)
    finally:
        for server in servers:
            server.kill()


def coordinate(address, recipe, workdir, *arguments, **keywords):
    return runs.Process(
        "coordinate",
        f"--tpu={address}",
        f"--config={recipe}",
        f"--workdir={workdir}",
        *arguments,
        module="tests.pod",
        **keywords,
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the recipe that all tests share, beside its data."""
    return workers_test.recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def alone(path, tmp_path_factory):
    """Return the workdir of the same run on two replicas of this process."""
    folder = tmp_path_factory.mktemp("alone")
    training.run(recipes.load(path), folder / "run", strategy=fixtures.mirrored(2))
    return folder / "run"


@pytest.mark.slow
def test_variables_and_input_are_on_the_hosts_and_the_rest_is_here(path):
    data = os.path.join(os.path.dirname(path), "data")
    with hosts() as (_, address):
        process = runs.Process("place", address, data, module="tests.pod")
        assert process.wait() == 0, process.stderr
    placed = json.loads(process.lines[-1])
    assert not placed["asks_for_determinism"]  # A TPU has no other kernels.
    # Where nothing is asked for, work goes to the first host.
    assert placed["default"] == HOST_CPUS[0]
    here = "/job:localhost/replica:0/task:0/device:CPU:0"
    assert placed["host_scope"] == placed["model"] == here
    assert placed["weights"] == placed["batches"] == HOST_CPUS
    assert placed["input_devices"] == HOST_CPUS


@pytest.mark.slow
def test_a_function_reads_what_was_written_before_it_on_every_host(tmp_path):
    """It does not wait for a host to take what is written without one."""
    with hosts() as (_, address):
        process = runs.Process("write", address, tmp_path, module="tests.pod")
        assert process.wait() == 0, process.stderr
    for writer, found in json.loads(process.lines[-1]).items():
        assert found == [[1.0, 1.0], [2.0, 2.0]], writer


@pytest.mark.slow
def test_a_host_that_dies_costs_nothing_but_time(path, alone, tmp_path):
    """The coordinator writes by itself, and leaves with 42 when a host is gone."""
    workdir = tmp_path / "run"
    settings = (
        "--config.checkpoint.every_seconds=0.5",
        "--config.log_every_seconds=0.5",
        "--config.watchdog.loop_seconds=10",
    )
    with hosts(cwd=tmp_path) as (servers, address):
        process = coordinate(address, path, workdir, *settings)
        assert process.read_until("TPU mesh 2x1x1x1 on 2 host(s)."), process.stderr
        assert process.read_until("step 30  validation"), process.stderr
        servers[1].kill()
        assert process.wait() == 42, process.stderr
    # TensorFlow says so at some calls, and hangs in others.
    text = "\n".join(process.lines)
    assert "A worker or its storage is lost" in text or "has taken more than 10" in text
    with hosts(cwd=tmp_path) as (_, address):
        process = coordinate(address, path, workdir, *settings)
        assert process.wait() == 0, process.stderr
    assert any("Continuing after step" in line for line in process.lines)
    runs.assert_equal_checkpoints(alone, workdir)
    runs.assert_equal_checkpoints(alone, workdir, "checkpoints/best")
    runs.assert_equal_scalars(alone, workdir)
    assert runs.result(workdir)["test_loss"] == runs.result(alone)["test_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "key"),
    [
        ("Running on", "watchdog.connect_seconds"),
        ("Compiling the step", "watchdog.loop_seconds"),
    ],
)
def test_a_host_that_stops_answering_before_the_first_step_ends_the_wait(
    path, tmp_path, moment, key
):
    """What waits may be at work on this machine: an eager one waits for all hosts."""
    with hosts(cwd=tmp_path) as (servers, address):
        process = coordinate(
            address,
            path,
            tmp_path / "run",
            "--config.watchdog.connect_seconds=25",
            "--config.watchdog.compile_seconds=25",
            "--config.watchdog.loop_seconds=11",
        )
        assert process.read_until(moment), process.stderr
        servers[1].send(signal.SIGSTOP)
        assert process.wait() == 42, process.stderr
    text = "\n".join(process.lines) + process.stderr
    assert "has taken more than" in text
    assert any(f"`{k}` is the limit" in text for k in (key, "watchdog.compile_seconds"))


@pytest.mark.slow
def test_data_that_a_host_does_not_reach_are_refused(path, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    shutil.copytree(os.path.join(os.path.dirname(path), "data"), here / "data")
    with hosts(cwd=there) as (_, address):
        process = coordinate(
            address, path, tmp_path / "run", "--config.data.dir=data", cwd=here
        )
        assert process.wait() == 1
    ours = [x for x in process.stderr.splitlines() if x.startswith("Error: ")]
    assert len(ours) == 1
    assert f"not the same folder on {HOST_CPUS[0]}: give one" in process.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_host_that_never_comes_ends_the_wait(path, tmp_path):
    (port,) = workers_test.free_ports(1)
    process = coordinate(
        f"grpc://127.0.0.1:{port}",
        path,
        tmp_path / "run",
        "--config.watchdog.connect_seconds=2",
    )
    assert process.wait() == 42
    text = "\n".join(process.lines)
    assert f"Waiting for 127.0.0.1:{port} (Connection refused)" in text
    assert "`watchdog.connect_seconds` is the limit" in text
    assert "_wait_for" in process.stderr
