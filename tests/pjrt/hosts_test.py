"""Several processes whose steps JAX executes: killed and stopped, against one alone."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

from launch.workers import processes
from tests import runs
from tests.machines import workers_test
from tests.pjrt import needs_jax

pytestmark = needs_jax

PROCESSES, DEVICES = 2, 2
# The processes have their own devices, not those of tests/conftest.py.
ENVIRONMENT = {"XLA_FLAGS": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
LOOP_SECONDS = 10
CLOCK = "progress/seconds/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Return a recipe of 100 steps on a smooth net, with all that is random."""
    folder = tmp_path_factory.mktemp("recipe")
    runs.save_model(folder / "small.keras", activation="swish")
    values = {
        "num_epochs": 20,
        "early_stopping.patience": 0,
        "optimizer.name": "sgd",
        "optimizer.learning_rate": 0.05,
        "sam.variant": "looksam",
        "sam.looksam.k": 3,
    }
    config = runs.small_config(folder, **values)
    return runs.write_recipe(folder / "recipe.py", config)


def launch(recipe, workdir, *arguments):
    return runs.Process(
        f"--num_workers={PROCESSES}",
        "--runtime=pjrt",
        "--grace_seconds=10",
        "--",
        f"--config={recipe}",
        f"--workdir={workdir}",
        f"--config.runtime.cpu_replicas={DEVICES}",
        *arguments,
        module="launch.workers",
        environment=ENVIRONMENT,
    )


@pytest.fixture(scope="module")
def together(recipe, tmp_path_factory):
    """Return the workdir of two processes that nobody disturbs."""
    workdir = tmp_path_factory.mktemp("together") / "run"
    process = launch(recipe, workdir)
    assert process.wait() == 0, process.stderr
    for worker in range(PROCESSES):
        assert any(
            line.startswith(f"[{worker}] ")
            and f"on {PROCESSES * DEVICES} replica(s): JAX" in line
            and f"worker {worker} of {PROCESSES}" in line
            for line in process.lines
        )
    return workdir


@pytest.mark.slow
def test_processes_train_as_the_devices_of_one(recipe, together, tmp_path):
    code, _, stderr = runs.main(
        f"--config={recipe}",
        "--config.runtime.strategy=pjrt",
        f"--config.runtime.cpu_replicas={PROCESSES * DEVICES}",
        f"--workdir={tmp_path / 'alone'}",
        environment=ENVIRONMENT,
    )
    assert code == 0, stderr
    one, several = runs.result(tmp_path / "alone"), runs.result(together)
    assert several["steps"] == one["steps"] == 100
    assert several["test_accuracy"] == one["test_accuracy"]
    first = runs.checkpoint_values(tmp_path / "alone")
    second = runs.checkpoint_values(together)
    assert first.keys() == second.keys()
    for key in first.keys() - {CLOCK}:
        # LookSAM's direction is a difference of nearly equal gradients.
        atol = 2e-5 if key.startswith("memory/") else 2e-6
        np.testing.assert_allclose(
            first[key], second[key], atol=atol, rtol=2e-6, err_msg=key
        )


# Either process, dead or stopped, in and after the first loop of a start.
LOSSES = [
    (1, signal.SIGKILL, "step 20  validation"),
    (0, signal.SIGKILL, "step 45  validation"),
    (1, signal.SIGSTOP, "step 70  validation"),
]


@pytest.mark.slow
def test_processes_lost_one_after_another_cost_nothing(recipe, together, tmp_path):
    workdir = tmp_path / "run"
    process = launch(
        recipe,
        workdir,
        "--config.checkpoint.every_seconds=0.5",
        "--config.log_every_seconds=0.5",
        f"--config.watchdog.loop_seconds={LOOP_SECONDS}",
    )
    for worker, number, moment in LOSSES:
        assert process.read_until(f"[{worker}]", moment), process.stderr
        os.kill(workers_test.pids(process)[worker], number)
        # The next one is to be lost from another start.
        assert process.read_until("; restart "), process.stderr
    assert process.wait() == 0, process.stderr
    runs.assert_equal_checkpoints(together, workdir)
    runs.assert_equal_checkpoints(together, workdir, "checkpoints/best")
    runs.assert_equal_scalars(together, workdir)
    runs.assert_equal_results(runs.result(together), runs.result(workdir))


def start(recipe, workdir, devices):
    """Start a process for each number of devices, without a launcher."""
    addresses = [f"127.0.0.1:{port}" for port in processes.take_ports(len(devices))]
    return [
        runs.Process(
            f"--config={recipe}",
            f"--workdir={workdir}",
            "--config.runtime.strategy=pjrt",
            f"--config.runtime.cpu_replicas={count}",
            environment={
                **ENVIRONMENT,
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"index": index}}
                ),
            },
        )
        for index, count in enumerate(devices)
    ]


@pytest.mark.slow
def test_processes_with_other_numbers_of_devices_are_refused(recipe, tmp_path):
    several = start(recipe, tmp_path / "run", (1, 2))
    assert [process.wait() for process in several] == [1, 1]
    for process in several:
        line = process.stderr.rsplit("Error: ", 1)[1]
        assert "worker 0 has 1, worker 1 has 2: give all the same" in line
        assert line.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_the_chief_alone_refuses_ends_all(recipe, together, tmp_path):
    """Its own code is 1, whatever JAX makes of the others, which wait for it."""
    workdir = shutil.copytree(together, tmp_path / "run")
    (workdir / "result.json").unlink()
    chief, other = start(recipe, workdir, (1, 1))
    assert chief.wait() == 1
    assert "--accept_change=replicas" in chief.stderr.rsplit("Error: ", 1)[1]
    assert other.wait() in (42, -signal.SIGABRT), other.stderr
