"""Creating and deleting where gcloud fails: nothing is left, nobody else's deleted."""

import time

import pytest

from launch.tpu import gcloud, phrases, starts, trainer
from tests.launch import stand_in
from tests.launch.stand_in import DIRECT, READY, SLICE, TRAIN, Life

PLACE = phrases.Place("pod", "us-central2-b", "my-project")


@pytest.fixture
def cloud(tmp_path):
    yield from stand_in.clouds(tmp_path)


def always(error):
    return {str(number): error for number in range(1, 99)}


def test_a_slice_that_shows_late_after_a_broken_connection_is_not_left(cloud):
    # The API makes it, the answer is lost, and it shows after two looks.
    slices = cloud(Life(DIRECT), errors={"create tpu-vm": {"1": ["network", 4]}})
    code, stdout, _ = slices.launch("up", *SLICE, "--max_restarts=0", *TRAIN)
    assert code == 42
    assert "No slice this time: (gcloud." in stdout
    assert slices.state["node"] is None
    assert slices.verbs("create", "delete") == ["create", "delete"]


def test_what_somebody_else_makes_at_the_same_time_is_not_deleted(cloud):
    slices = cloud(Life(DIRECT), errors={"create tpu-vm": {"1": ["exists", 2]}})
    code, _, stderr = slices.launch("up", *SLICE, *TRAIN)
    assert (code, stderr) == (0, "")
    assert slices.verbs("create", "delete") == ["create"]


def test_a_node_that_cannot_be_deleted_goes_with_its_queued_resource(cloud):
    slices = cloud(errors={"delete tpu-vm": always("network")})
    assert slices.launch("up", *SLICE, "--queued")[0] == 0
    code, stdout, _ = slices.launch("down")
    assert code == 0
    assert stdout.count("Deleting failed, trying again: (gcloud.compute.tpus.") == 3
    assert "--force" in slices.calls[-3]
    assert (slices.state["node"], slices.state["queued"]) == (None, None)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["down", "up"])
def test_a_slice_that_cannot_be_deleted_is_told_of(cloud, command):
    slices = cloud(Life(DIRECT), errors={"delete tpu-vm": always("network")})
    assert slices.launch("up", *SLICE)[0] == 0
    rest = [*SLICE, "--down_when_done", *TRAIN] if command == "up" else []
    code, stdout, stderr = slices.launch(command, *rest)
    assert (code, stderr.count("\n")) == (42, 1)
    assert stderr.startswith("Error: (gcloud.compute.tpus.tpu-vm.delete.pod) HTTPS")
    assert ("Delete all of it:" in stdout) == (command == "up")
    assert slices.verbs("delete") == ["delete"] * 20


def test_a_queue_that_ends_over_the_quota_is_the_users(cloud):
    failure = "Quota limit 'TPUV4PodPerProject' has been exceeded. Limit: 0 in zone x."
    slices = cloud(Life([READY[0], ["FAILED", None]], failure=failure))
    code, _, stderr = slices.launch("up", *SLICE, "--queued", *TRAIN)
    assert (code, stderr) == (1, f"Error: pod: over the quota: {failure}\n")
    assert slices.verbs("create", "delete") == ["create", "delete"]


@pytest.mark.parametrize("verb", ["scp", "ssh"])
def test_a_connection_that_never_ends_is_given_up(tmp_path, monkeypatch, verb):
    (tmp_path / "gcloud").write_text(f"#!/bin/bash\n[ $4 != {verb} ] || sleep 60\n")
    (tmp_path / "gcloud").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(trainer, "_HOSTS_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(gcloud.GcloudError, match="gave no answer in"):
        trainer.install(PLACE, "tpu-vm-tf-2.16.1-pod-pjrt", starts.Start(is_pod=True))
    if verb == "ssh":
        with pytest.raises(gcloud.GcloudError, match="gave no answer in"):
            trainer.clean(PLACE)
    assert time.monotonic() - start < 30
