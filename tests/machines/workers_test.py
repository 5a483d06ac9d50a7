"""Several workers: real processes, killed and stopped, against a single one."""

import json
import os
import re
import signal
import socket

import numpy as np
import psutil
import pytest

from sam_pod.config import recipes
from tests import fixtures, runs, training

LAUNCH = "launch.workers"


def recipe(tmp_path, **overrides):
    """Return a recipe of 100 steps, with dropout, BatchNorm and a member's memory."""
    values = {
        "num_epochs": 20,
        "early_stopping.patience": 0,
        "sam.variant": "looksam",
        "sam.looksam.k": 3,
        **overrides,
    }
    config = runs.small_config(tmp_path, **values)
    return runs.write_recipe(tmp_path / "recipe.py", config)


def launch(recipe, workdir, *arguments, grace_seconds=60):
    return runs.Process(
        "--num_workers=2",
        f"--grace_seconds={grace_seconds}",
        "--",
        f"--config={recipe}",
        f"--workdir={workdir}",
        *arguments,
        module=LAUNCH,
    )


def pids(process):
    """Return the process of each worker, by its number."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        task = json.loads(child.environ().get("TF_CONFIG") or "{}").get("task")
        if task and "sam_pod.main" in child.cmdline():
            found[task["index"]] = child.pid
    return found


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the recipe that the tests of this file share, beside its data."""
    return recipe(tmp_path_factory.mktemp("recipe"))


MEASURED = {
    "sharpness.every_epochs": 20,
    "sharpness.examples": 16,
    "sharpness.iterations": 4,
}


@pytest.fixture(scope="module")
def undisturbed(path, tmp_path_factory):
    """Return the workdir of two workers that nobody disturbs, and their lines."""
    workdir = tmp_path_factory.mktemp("workers") / "run"
    flags = [f"--config.{key}={value}" for key, value in MEASURED.items()]
    process = launch(path, workdir, *flags)
    assert process.wait() == 0, process.stderr
    return workdir, process.lines


@pytest.mark.slow
def test_two_workers_train_as_two_replicas_of_one(path, undisturbed, tmp_path):
    workdir, lines = undisturbed
    config = recipes.load(path)
    config.update_from_flattened_dict(MEASURED)
    training.run(config, tmp_path / "alone", strategy=fixtures.mirrored(2))
    alone, together = runs.result(tmp_path / "alone"), runs.result(workdir)
    assert together["steps"] == alone["steps"] == 5 * config.num_epochs
    # Sums of two float32 numbers: the same in any order.
    runs.assert_equal_checkpoints(tmp_path / "alone", workdir)
    assert together["test_loss"] == alone["test_loss"]
    for worker in (0, 1):
        assert any(f"[{worker}] " in x and f"worker {worker} of 2" in x for x in lines)
    assert "sharpness/eigenvalue_1" in runs.scalars(workdir)
    runs.assert_equal_scalars(tmp_path / "alone", workdir)


@pytest.mark.slow
def test_without_batch_norm_two_workers_equal_one(tmp_path):
    model = tmp_path / "plain.keras"
    save_plain_model(model)
    values = {"model.name": str(model), "num_epochs": 2, "schedule.name": "constant"}
    path = recipe(tmp_path, **values)
    process = launch(path, tmp_path / "two")
    assert process.wait() == 0, process.stderr
    training.run(recipes.load(path), tmp_path / "one")
    one = runs.checkpoint_values(tmp_path / "one")
    two = runs.checkpoint_values(tmp_path / "two")
    for key in one:
        if key.startswith("weights/"):
            np.testing.assert_allclose(two[key], one[key], rtol=0, atol=1e-5)


def save_plain_model(path):
    import keras

    keras.utils.set_random_seed(3)
    images = keras.Input((8, 8, 3))
    x = keras.layers.ReLU()(keras.layers.Conv2D(4, 3)(images))
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(images, keras.layers.Dense(4)(x)).save(path)


# Either worker, dead or stopped, before, in and after the first loop of a start; and
# the one that writes no checkpoints, asked to end.
LOSSES = [
    (1, signal.SIGSTOP, "Workdir:"),
    (0, signal.SIGKILL, "Compiled the step"),
    (1, signal.SIGKILL, "step 20  validation"),
    (1, signal.SIGTERM, "step 40  validation"),
    (0, signal.SIGSTOP, "step 60  validation"),
]


@pytest.mark.slow
def test_workers_lost_one_after_another_cost_nothing(path, undisturbed, tmp_path):
    workdir, _ = undisturbed
    again = tmp_path / "run"
    process = launch(
        path,
        again,
        "--config.checkpoint.every_seconds=0.5",
        "--config.log_every_seconds=0.5",
        "--config.watchdog.connect_seconds=30",
        "--config.watchdog.loop_seconds=20",
        grace_seconds=10,
    )
    for worker, number, moment in LOSSES:
        assert process.read_until(f"[{worker}]", moment), process.stderr
        seen = len(process.lines)
        os.kill(pids(process)[worker], number)
        # The next one is to be lost from another start.
        assert process.read_until("; restart "), process.stderr
        if number == signal.SIGTERM:
            assert_all_saved(process.lines[seen:])
    assert process.wait() == 0, process.stderr
    assert any("Continuing after step" in line for line in process.lines)
    runs.assert_equal_checkpoints(workdir, again)
    runs.assert_equal_checkpoints(workdir, again, "checkpoints/best")
    assert runs.result(again)["test_loss"] == runs.result(workdir)["test_loss"]


def assert_all_saved(lines):
    """Check that both ended by themselves, although one of them was asked to."""
    for worker in (0, 1):
        assert any(f"[{worker}] " in x and "Saved. Continue" in x for x in lines), lines
    assert any("ended with exit code 42; restart" in line for line in lines), lines
    assert not any("later: SIGTERM" in line for line in lines), lines


def start(recipe, workdir, clusters, *arguments):
    """Start a worker for each {number: addresses}, without a launcher."""
    return [
        runs.Process(
            f"--config={recipe}",
            f"--workdir={workdir}",
            *(argument[i] for argument in arguments),
            environment={
                "TF_CONFIG": json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                )
            },
        )
        for i, (index, addresses) in enumerate(clusters.items())
    ]


def addresses(count):
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


@pytest.mark.slow
def test_a_worker_with_another_config_is_refused(path, tmp_path):
    """Also with one that it alone would refuse: no replicas share a batch of 17."""
    two = addresses(2)
    batches = [f"--config.global_batch_size={size}" for size in (16, 17)]
    processes = start(path, tmp_path / "run", {0: two, 1: two}, batches)
    assert [p.wait() for p in processes] == [1, 1]
    assert "config `global_batch_size` is 17, the chief's 16" in processes[1].stderr
    assert "Refused worker(s) 1" in processes[0].stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_worker_with_other_data_is_refused(path, tmp_path):
    other, two = tmp_path / "other", addresses(2)
    fixtures.write_data(other, train=101, test=30)
    data = [f"--config.data.dir={d}" for d in (os.path.dirname(path) + "/data", other)]
    processes = start(path, tmp_path / "run", {0: two, 1: two}, data)
    assert [p.wait() for p in processes] == [1, 1]
    assert "Worker 1 differs from the chief: content `data.dir` is" in (
        processes[1].stderr
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("worker", [1, 2])
def test_workers_of_different_clusters_are_refused(path, tmp_path, worker):
    """The chief knows of two workers, the other one of three."""
    three = addresses(3)
    seconds = ["--config.watchdog.connect_seconds=20"] * 2
    clusters = {0: three[:2], worker: three}
    chief, other = start(path, tmp_path / "run", clusters, seconds)
    if worker == 1:  # The one that hears first may be gone before the other asks.
        codes = [other.wait(), chief.wait()]
        assert 1 in codes
        assert set(codes) <= {1, 42}
    else:  # The chief goes on to wait for the second worker.
        assert other.wait() == 1
        chief.kill()
    assert re.search(
        r"TF_CONFIG of worker \d names \d workers, that of another worker names others",
        other.stderr + chief.stderr,
    )
    assert not (tmp_path / "run").exists()
