"""Slices on which JAX executes the steps: the same command on every host."""

import json
import signal

import pytest

from launch.tpu import everywhere, provision, runtimes_of_jax, starts, trainer
from launch.tpu.trainer import Ending
from sam_pod import errors
from sam_pod.machines import accelerators
from tests.launch import stand_in
from tests.launch.stand_in import TRAIN, Life

V6E = ["--accelerator_type=v6e-16", "--pause_seconds=0", "--nopreflight", "--queued"]
JAX = "--config.runtime.strategy=pjrt"


@pytest.fixture
def cloud(tmp_path):
    def of(*acts, hosts=2):
        """Return slices whose workers' starts end so, a tuple for each worker."""
        slices = make(Life(hosts=hosts))
        slices.script["installed"] = stand_in.installed("pjrt")
        slices.write_script()
        for worker in range(hosts):
            slices.act(worker, *(acts[worker] if worker < len(acts) else ["0"]))
        return slices

    clouds = stand_in.clouds(tmp_path)
    make = next(clouds)
    yield of
    next(clouds, None)


def test_every_host_runs_the_same_command_and_finds_the_others_itself(cloud):
    slices = cloud(hosts=4)
    code, stdout, stderr = slices.launch("up", *V6E, "--down_when_done", *TRAIN)
    assert code == 0
    assert stderr.count("\n") == 1 and "has been seen on a TPU yet" in stderr
    create = next(call for call in slices.calls if "create" in call)
    assert "--accelerator-type=v6e-16" in create
    assert "--runtime-version=v2-alpha-tpuv6e" in create
    logs = list(slices.folder.glob("hosts/1/*/sam_pod/run/log"))
    assert len(logs) == 4
    for log in logs:
        ours, load_library = json.loads(log.read_text().splitlines()[0])
        assert ours == ["-m", "sam_pod.main", *TRAIN[1:], JAX]
        assert load_library is None
    assert stdout.count("step 3\n") == 1  # Worker 0's log alone.
    assert (slices.state["node"], slices.state["queued"]) == (None, None)


def test_a_lost_machine_starts_all_again(cloud):
    slices = cloud(("42", "0"), ("kill", "0"))
    code, stdout, _ = slices.launch("up", *V6E, *TRAIN)
    assert code == 0
    assert stdout.count("Restart 1 of") == 1
    assert slices.verbs("create") == ["create"]


@pytest.mark.slow
@pytest.mark.parametrize("aborted", ["abort", "134"])
def test_how_jax_ends_a_process_means_again(cloud, aborted):
    slices = cloud((aborted, "0"), hosts=1)
    flags = [flag.replace("v6e-16", "v6e-8") for flag in V6E]
    code, stdout, _ = slices.launch("up", *flags, *TRAIN)
    assert (code, stdout.count("Restart 1 of")) == (0, 1)


def test_what_one_host_refuses_ends_all(cloud):
    slices = cloud(("42",), ("1",))
    code, stdout, _ = slices.launch("up", *V6E, *TRAIN)
    assert (code, stdout.count("Restart")) == (1, 0)


def test_the_dry_run_waits_for_all_hosts(cloud):
    slices = cloud()
    code, script, _ = slices.launch("up", *V6E, "--dry_run", *TRAIN)
    assert code == 0
    start, wait = script.index("coordinator.py start"), script.index('"running"')
    assert "--worker=all" in script[script.rindex("gcloud", 0, start) : start]
    assert start < script.index("coordinator.py follow") < wait
    assert "--tpu=" not in script and f"{JAX}'" in script
    assert not (slices.folder / "calls").exists()


ABORT = -signal.SIGABRT


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 0], 0),
        ([42, 134], 42),
        ([134, ABORT], 42),
        ([0, 42], 42),
        ([42, 1], 1),
        ([134, 70], 70),
        ([0, None], None),  # It vanished: nobody knows what it would have been.
        ([None, None], None),
        ([None, 1], 1),
    ],
)
def test_the_codes_of_all_hosts_count_as_one(codes, expected):
    assert everywhere.verdict(codes) == expected


def test_hosts_that_outlive_the_first_are_killed(monkeypatch):
    answers = [
        [{"state": "ended", "code": 42}, {"state": "running"}],
        [{"state": "ended", "code": 42}, {"state": "running"}],
        [{"state": "ended", "code": 42}, {"state": "vanished"}],
    ]
    killed = []
    monkeypatch.setattr(everywhere, "_ENDING_SECONDS", -1.0)
    monkeypatch.setattr(trainer, "look", lambda place, workers: answers.pop(0))
    monkeypatch.setattr(trainer, "kill", lambda place, workers: killed.append(workers))
    the_slice = provision.Slice(None, poll_seconds=0.0)
    start = starts.Start(is_pod=True, by_jax=True)
    assert everywhere.settle(the_slice, start, Ending(42)) == Ending(42)
    assert (killed, answers) == (["all", "all"], [])


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("v6e-16", "v2-alpha-tpuv6e"),
        ("v5litepod-8", "v2-alpha-tpuv5-lite"),
        ("v5p-8", "v2-alpha-tpuv5"),
        ("v4-32", "tpu-ubuntu2204-base"),
    ],
)
def test_images_are_those_that_google_names_for_jax(name, version):
    accelerator = accelerators.parse(name)
    assert runtimes_of_jax.default(accelerator) == version
    warning = runtimes_of_jax.check("tpu-base", accelerator, allow_broken=False)
    assert warning.endswith(f"Google names {version}.")
    theirs = "tpu-vm-tf-2.16.1-pod-pjrt"
    with pytest.raises(errors.UserError, match=f"take {version}"):
        runtimes_of_jax.check(theirs, accelerator, allow_broken=False)
    assert runtimes_of_jax.check(theirs, accelerator, allow_broken=True)
