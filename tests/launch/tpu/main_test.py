"""Runs over slices that come and go, with real processes on their hosts."""

import dataclasses
import json
import re

import pytest

from launch.tpu import states
from tests.launch import stand_in
from tests.launch.stand_in import DIRECT, PREEMPTED, READY, SLICE, TRAIN, Life


@pytest.fixture
def cloud(tmp_path):
    yield from stand_in.clouds(tmp_path)


def test_from_nothing_to_exit_0_and_to_nothing(cloud):
    slices = cloud(Life([["ACCEPTED", None], *READY]))
    code, stdout, stderr = slices.launch(
        "up", *SLICE, "--queued", "--spot", "--down_when_done", *TRAIN
    )
    assert (code, stderr) == (0, "")
    seen = [line for line in stdout.splitlines() if ": queued resource" in line]
    assert [line.partition(": ")[2] for line in seen[:4]] == [
        "queued resource ACCEPTED, node none",
        "queued resource WAITING_FOR_RESOURCES, node none",
        "queued resource PROVISIONING, node CREATING",
        "queued resource ACTIVE, node READY",
    ]
    ours, load_library = json.loads(re.search(r"^\[\[.*", stdout, re.M).group())
    assert ours == [
        *("-m", "sam_pod.main", *TRAIN[1:]),
        "--tpu=grpc://10.130.0.2:8470,grpc://10.130.0.3:8470",
    ]
    assert load_library == "0"
    assert "step 0\nstep 1\nstep 2\nstep 3\n[launcher] The trainer ended" in stdout
    assert (slices.state["node"], slices.state["queued"]) == (None, None)
    assert stdout.endswith("[launcher] pod: nothing is left.\n")


def test_a_single_host_is_local(cloud):
    slices = cloud(Life(DIRECT, hosts=1))
    slices.script["installed"] = stand_in.installed(
        *("2.16.1", "libtpu==2.16.0rc0"),
        "https://storage.googleapis.com/libtpu-tf-releases/index.html",
    )
    slices.write_script()
    code, stdout, stderr = slices.launch(
        "up", "--accelerator_type=v4-8", "--nopreflight", *TRAIN
    )
    assert (code, stderr) == (0, "")
    ours, load_library = json.loads(re.search(r"^\[\[.*", stdout, re.M).group())
    assert (ours[-1], load_library) == ("--tpu=local", None)
    assert "delete" not in slices.verbs("delete")
    assert "down --name=pod --zone=us-central2-b --project=my-project" in stdout


def test_everything_arrives_intact_and_executes_nothing(cloud, tmp_path):
    nasty = (
        f"a b'c\"d$(touch {tmp_path}/pwned)`touch {tmp_path}/pwned`;&|<>*?\\ \né\t#!"
    )
    slices = cloud()
    arguments = [*TRAIN[:-1], f"--workdir=gs://bucket/{nasty}"]
    code, stdout, _ = slices.launch("up", *SLICE, "--queued", *arguments)
    assert code == 0
    ours, _ = json.loads(re.search(r"^\[\[.*", stdout, re.M).group())
    assert ours[-2] == f"--workdir=gs://bucket/{nasty}"
    assert not (tmp_path / "pwned").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "queued"),
    [
        (PREEMPTED, True),
        ([None, "REPAIRING"], False),
        (["SUSPENDING", "READY"], True),
        (["SUSPENDED", None], True),
        (["ACTIVE", "UNKNOWN"], True),
        ([None, "PREEMPTED"], False),
        ([None, "TERMINATED"], False),
        ([None, "STOPPED"], False),
    ],
)
def test_a_lost_slice_is_deleted_and_made_again(cloud, lost, queued):
    life = READY if queued else DIRECT
    slices = cloud(
        Life(list(life), [[1, "drop"], [0, lost]]),
        Life(list(life)),
        acts=["wait", "0"],
    )
    flags = ["--queued"] if queued else []
    code, stdout, stderr = slices.launch("up", *SLICE, *flags, *TRAIN)
    assert (code, stderr) == (0, "")
    assert "The connection broke; the trainer goes on." in stdout
    assert f"Lost pod: {states.Seen(*(state or '' for state in lost))}" in stdout
    verbs = slices.verbs("create", "delete")
    kinds = ["delete"] * (1 + queued if lost[1] else 1)
    assert verbs == ["create", *kinds, "create"]
    assert slices.state["node"] == "READY"


@pytest.mark.parametrize(
    ("connections", "again"),
    [([[1, "repeat"]], 0), ([[1, "drop"], [0, "drop"], [0, "repeat"]], 2)],
)
def test_a_connection_that_breaks_loses_and_repeats_nothing(cloud, connections, again):
    slices = cloud(Life(connections=connections))
    code, stdout, _ = slices.launch("up", *SLICE, "--queued", *TRAIN)
    assert code == 0
    steps = re.findall(r"^step \d$", stdout, re.M)
    assert steps == ["step 0", "step 1", "step 2", "step 3"]
    assert stdout.count("The connection broke; the trainer goes on.") == again
    assert slices.verbs("create") == ["create"]


def test_exit_42_starts_again_on_the_slice_and_then_on_another(cloud):
    slices = cloud(acts=["42", "kill", "0"])
    code, stdout, _ = slices.launch("up", *SLICE, "--queued", *TRAIN)
    assert code == 0
    assert stdout.count("The trainer ended with exit code 42.") == 1
    assert stdout.count("The trainer was killed by signal 9.") == 1
    # The second time in a row costs the slice; what held the chips was ended before.
    assert slices.verbs("create") == ["create"] * 2
    assert slices.state["slices"] == 2
    tools = (slices.folder / "tools").read_text()
    assert tools.count("sudo rm -f /tmp/libtpu_lockfile") == 2  # Two workers, once.


@pytest.mark.parametrize("act", ["1", pytest.param("70", marks=pytest.mark.slow)])
def test_what_another_start_does_not_mend_ends_the_launcher(cloud, act):
    slices = cloud(acts=[act])
    code, _, _ = slices.launch("up", *SLICE, "--queued", "--down_when_done", *TRAIN)
    assert code == int(act)
    assert slices.verbs("create") == ["create"]
    assert (slices.state["node"], slices.state["queued"]) == (None, None)


@pytest.mark.slow
def test_restarts_are_limited(cloud):
    slices = cloud(acts=["42"])
    code, stdout, _ = slices.launch(
        "up", *SLICE, "--queued", "--max_restarts=2", "--down_when_done", *TRAIN
    )
    assert code == 42
    assert "Gave up after 2 restarts; the same command continues." in stdout
    assert slices.state["node"] is None


def test_an_installation_that_fails_costs_no_slice(cloud):
    slices = cloud()
    slices.script["installed"] = "another lock"
    slices.write_script()
    slices.tool("python3.10", "echo disk full >&2; exit 1")
    flags = ["--queued", "--max_restarts=3"]
    code, stdout, _ = slices.launch("up", *SLICE, *flags, *TRAIN)
    assert code == 42
    assert stdout.count("The attempt failed: Error: no Python 3.10, 3.11 or 3.12") == 4
    assert slices.verbs("create", "delete") == ["create"]


def test_a_queued_resource_that_fails_is_replaced(cloud):
    failed = Life(
        [READY[0], ["FAILED", None]], failure="The request expired; valid until passed."
    )
    slices = cloud(failed, Life())
    code, stdout, _ = slices.launch("up", *SLICE, "--queued", *TRAIN)
    assert code == 0
    assert "No slice this time: The request expired; valid until passed." in stdout


def test_no_capacity_is_asked_for_again(cloud):
    slices = cloud(
        Life(DIRECT),
        errors={"create tpu-vm": {"1": "stockout", "2": "stockout"}},
    )
    code, stdout, _ = slices.launch("up", *SLICE, *TRAIN)
    assert code == 0
    assert stdout.count("There is no more capacity in the zone") == 2


@pytest.mark.parametrize("kind", ["quota", "denied", "login"])
def test_what_the_api_refuses_is_one_line(cloud, kind):
    slices = cloud(errors={"create queued-resources": {"1": kind}})
    code, _, stderr = slices.launch("up", *SLICE, "--queued", *TRAIN)
    assert code == 1
    assert stderr.startswith("Error: pod: ")
    assert stderr.count("\n") == 1
    assert slices.verbs("create") == ["create"]
    assert slices.state["slices"] == 0


def test_a_state_that_is_unknown_is_asked_again_before_anything_is_created(cloud):
    slices = cloud(
        errors={
            "describe queued-resources": {"1": "network", "2": "zone"},
            "describe tpu-vm": {"1": "network", "4": "zone", "5": "rate"},
        }
    )
    code, stdout, _ = slices.launch("up", *SLICE, "--queued", *TRAIN)
    assert code == 0
    assert stdout.count("Asking for the state failed, trying again: ") == 5
    assert slices.verbs("create") == ["create"]


def test_a_state_that_stays_unknown_creates_nothing(cloud):
    errors = {str(number): "network" for number in range(1, 99)}
    slices = cloud(errors={"describe tpu-vm": errors})
    code, stdout, stderr = slices.launch("up", *SLICE, *TRAIN)
    assert (code, stderr) == (42, "")
    assert "Gave up: " in stdout
    assert slices.verbs("create") == []


def test_who_deletes_the_slice_gets_no_other(cloud):
    gone = [None, None]
    slices = cloud(Life(connections=[[0, gone]]), acts=["wait"])
    code, stdout, _ = slices.launch("up", *SLICE, "--queued", *TRAIN)
    assert code == 42
    assert "Somebody deleted pod; it is not created again." in stdout
    assert slices.verbs("create", "delete") == ["create"]


@pytest.mark.parametrize("queued", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_down_ends_a_launcher_that_trains(cloud, queued):
    slices = cloud(Life(READY if queued else DIRECT), acts=["wait"])
    words = ["up", "--name=pod", "--zone=us-central2-b", "--poll_seconds=0.01", *SLICE]
    process = slices.start(*words, *(["--queued"] if queued else []), *TRAIN)
    for line in process.stdout:
        if line == "waiting\n":
            # Nor do two launchers fight for one slice.
            code, _, stderr = slices.launch("up", *SLICE, *TRAIN)
            assert code == 1
            assert f"Another launcher (process {process.pid}) takes care" in stderr
            assert slices.launch("down")[0] == 0
            break
    try:
        stdout, stderr = process.communicate(timeout=600)
    finally:
        process.kill()
    assert (process.returncode, stderr) == (42, "")
    assert "Somebody deleted pod; it is not created again." in stdout
    assert slices.verbs("create") == ["create"]
    assert (slices.state["node"], slices.state["queued"]) == (None, None)


@pytest.mark.parametrize("found", ["v4-8", "tpu-vm-tf-2.16.1-pod-se"])
def test_another_slice_of_the_name_is_left_alone(cloud, found):
    slices = cloud(Life(hosts=1), Life())
    kind = "accelerator_type" if found == "v4-8" else "runtime_version"
    other = ["--queued", *SLICE, f"--{kind}={found}"]
    create = slices.launch("up", *other)
    if found != "v4-8":
        assert create[2].startswith("Warning: runtime tpu-vm-tf-2.16.1-pod-se on v4-16")
    before = slices.state
    code, _, stderr = slices.launch("up", *SLICE, "--down_when_done", *TRAIN)
    assert code == 1
    assert stderr.startswith(f"Error: pod exists already, with {found} instead of ")
    assert slices.state["slices"] == before["slices"] == 1
    assert slices.state["node"] == "READY"


@pytest.mark.slow
def test_a_slice_that_is_there_is_used_and_a_preempted_one_replaced(cloud):
    slices = cloud()
    assert slices.launch("up", *SLICE, "--queued")[0] == 0
    assert slices.launch("up", *SLICE, "--queued", *TRAIN)[0] == 0
    assert slices.verbs("create") == ["create"]
    slices.script["lives"] = [
        dataclasses.asdict(life) for life in (Life([PREEMPTED]), Life())
    ]
    slices.write_script()
    code, stdout, _ = slices.launch("status")
    assert (code, "It was preempted." in stdout) == (0, True)
    assert slices.launch("up", *SLICE, "--queued", *TRAIN)[0] == 0
    assert slices.verbs("create", "delete") == ["create", "delete", "delete", "create"]


def test_a_stopped_slice_is_left_alone(cloud):
    slices = cloud(Life([*DIRECT, [None, "STOPPED"]]))
    assert slices.launch("up", *SLICE)[0] == 0
    code, _, stderr = slices.launch("up", *SLICE, *TRAIN)
    assert code == 1
    assert stderr.startswith("Error: pod is STOPPED; start it, or delete it: python -m")
