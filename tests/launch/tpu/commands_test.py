"""Interrupted launchers, the commands beside `up`, and what --dry_run prints."""

import json
import re
import signal
import subprocess

import pytest

from tests.launch import stand_in
from tests.launch.stand_in import DIRECT, PREEMPTED, READY, SLICE, TRAIN, Life


@pytest.fixture
def cloud(tmp_path):
    yield from stand_in.clouds(tmp_path)


def start_and_leave(slices, signals=(signal.SIGINT,)):
    """Start a trainer that waits, and interrupt its launcher; return its stdout."""
    words = ["up", "--name=pod", "--zone=us-central2-b", "--poll_seconds=0.01", *SLICE]
    process = slices.start(*words, "--queued", *TRAIN)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "waiting\n":
            for number in signals:
                process.send_signal(number)
    assert process.wait(600) == 42
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()
    return "".join(lines)


@pytest.mark.slow
def test_an_interrupted_launcher_says_what_is_left_and_takes_it_up_again(cloud):
    slices = cloud(acts=["wait", "0"])
    stdout = start_and_leave(slices)
    assert "Interrupted; work on the slice continues" in stdout
    commands = re.findall(r"python -m launch\.tpu (\w+ .*)", stdout)
    assert [command.split()[0] for command in commands] == ["status", "down"]
    code, stdout, _ = slices.launch(*commands[0].split()[:1])
    assert code == 0
    assert "It is ready and costs money" in stdout
    assert "2 host(s); the trainer runs" in stdout
    # Another trainer is refused, the same is followed to its end.
    other = [*TRAIN, "--config.sam.rho=0.1"]
    code, _, stderr = slices.launch(
        "up", *SLICE, "--queued", "--down_when_done", *other
    )
    assert code == 1
    assert stderr.startswith("Error: Another trainer runs on pod (env ")
    process = slices.start(
        *("up", "--name=pod", "--zone=us-central2-b", *SLICE, "--queued"),
        *("--poll_seconds=0.01", *TRAIN),
    )
    for line in process.stdout:
        if line == "waiting\n":
            stop = "python3 sam_pod/launch/remote/coordinator.py stop"
            assert slices.launch("ssh", "--", *stop.split())[0] == 0
            break
    stdout = process.communicate(timeout=600)[0]
    assert process.returncode == 0
    assert "The trainer ended with exit code 42." in stdout
    assert slices.launch("down")[0] == 0
    assert (slices.state["node"], slices.state["queued"]) == (None, None)


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGTERM), (signal.SIGHUP,)])
def test_every_request_to_stop_is_answered_also_one_that_comes_twice(cloud, signals):
    stdout = start_and_leave(cloud(acts=["wait"]), signals)
    assert "Interrupted; work on the slice continues" in stdout
    assert "Delete all of it:" in stdout


def test_run_logs_and_status_use_the_slice_that_is_there(cloud):
    slices = cloud(acts=["0", "1"])
    code, _, stderr = slices.launch("run", *TRAIN)
    assert (code, stderr.count("\n")) == (1, 1)
    assert stderr.startswith("Error: pod is not ready (node none): There is nothing")
    code, stdout, _ = slices.launch("status")
    assert (code, "nothing that costs money" in stdout) == (0, True)
    assert slices.launch("up", *SLICE, "--queued")[0] == 0
    assert "no trainer was started there" in slices.launch("status")[1]
    assert slices.launch("run", *TRAIN)[0] == 0
    assert slices.launch("run", *TRAIN)[0] == 1
    code, stdout, _ = slices.launch("logs")
    assert (code, "step 3" in stdout) == (1, True)
    assert "the trainer ended with exit code 1." in slices.launch("status")[1]
    assert slices.verbs("create") == ["create"]


def test_run_does_not_replace_a_slice_that_is_lost(cloud):
    slices = cloud(Life(connections=[[0, PREEMPTED]]), acts=["wait"])
    assert slices.launch("up", *SLICE, "--queued")[0] == 0
    code, stdout, _ = slices.launch("run", *TRAIN)
    assert code == 42
    assert slices.verbs("create", "delete") == ["create"]
    assert "Delete all of it:" in stdout


@pytest.mark.parametrize(
    ("act", "connections"),
    [pytest.param("0", [], marks=pytest.mark.slow), ("wait", [[0, PREEMPTED]])],
)
def test_run_leaves_nothing_where_that_is_asked_for(cloud, act, connections):
    slices = cloud(Life(connections=connections), acts=[act])
    assert slices.launch("up", *SLICE, "--queued")[0] == 0
    code, stdout, _ = slices.launch("run", "--down_when_done", *TRAIN)
    assert code == (42 if connections else 0)
    assert stdout.endswith("[launcher] pod: nothing is left.\n")
    assert (slices.state["node"], slices.state["queued"]) == (None, None)


def test_the_dry_run_of_run_deletes_only_where_that_is_asked_for(cloud):
    slices = cloud()
    for flags in ([], ["--down_when_done"]):
        code, stdout, _ = slices.launch("run", *SLICE, "--dry_run", *flags, *TRAIN)
        assert code == 0
        assert ("\ngcloud compute tpus tpu-vm delete pod" in stdout) == bool(flags)


def test_words_of_ssh_arrive_intact_and_execute_nothing(cloud, tmp_path):
    slices = cloud()
    assert slices.launch("up", *SLICE, "--queued")[0] == 0
    nasty = ["a b", "c'd\"", f"$(touch {tmp_path}/pwned)", "", "*", ";", "é\n"]
    code = "import sys; print(sys.argv[1:])"
    done = slices.launch("ssh", "--", "python3", "-c", code, *nasty)
    assert done == (0, f"{nasty}\n", "")
    assert not (tmp_path / "pwned").exists()


def test_logs_say_why_they_end(cloud):
    slices = cloud(Life(connections=[[None, ""], [0, [None, None]]]), acts=["wait"])
    start_and_leave(slices)
    code, stdout, stderr = slices.launch("logs")
    assert (code, stderr) == (42, "")
    assert stdout.endswith("Somebody deleted pod.\n")


@pytest.mark.parametrize(
    "states",
    [
        READY,
        *(
            pytest.param(states, marks=pytest.mark.slow)
            for states in (READY[:1], [["SUSPENDED", None]], [["PROVISIONING", None]])
        ),
    ],
)
def test_down_deletes_whatever_there_is(cloud, states):
    slices = cloud(Life([READY[0], *states, states[-1]]))
    process = slices.start(
        *("up", "--name=pod", "--zone=us-central2-b", "--poll_seconds=9", *SLICE),
        "--queued",
    )
    for line in process.stdout:
        if "WAITING" in line:
            process.kill()
    process.communicate()
    for _ in states:
        slices.launch("status")
    code, stdout, stderr = slices.launch("down")
    assert (code, stderr) == (0, "")
    assert stdout.endswith("pod: nothing is left.\n")
    assert (slices.state["node"], slices.state["queued"]) == (None, None)


def test_a_node_deleted_by_hand_is_not_made_again(cloud):
    # Its queued resource stays, suspended by a user.
    slices = cloud(acts=["wait"])
    words = ["up", "--name=pod", "--zone=us-central2-b", "--poll_seconds=0.01", *SLICE]
    process = slices.start(*words, "--queued", *TRAIN)
    for line in process.stdout:
        if line == "waiting\n":
            words = ["tpu-vm", "delete", "pod", "--zone=us-central2-b", "--project=my"]
            subprocess.run(
                [slices.folder / "bin/gcloud", "compute", "tpus", *words],
                env=slices.environment,
                check=True,
            )
    assert process.wait(600) == 42
    process.stdout.close()
    process.stderr.close()
    assert slices.state["queued"] in ("SUSPENDING", "SUSPENDED")
    assert slices.verbs("create") == ["create"]


def test_options_reach_gcloud(cloud):
    slices = cloud(Life(DIRECT))
    options = [
        *("--reserved", "--internal_ips", "--tunnel_through_iap", "--network=net"),
        *("--subnetwork=sub", "--service_account=me@x.iam", "--labels=a=b,c=d"),
        *("--autocheckpoint_enabled", "--project=other"),
    ]
    code, stdout, _ = slices.launch("up", *SLICE, *options)
    assert code == 0
    reach = "--project=other --internal_ips --tunnel_through_iap"
    assert f"run --name=pod --zone=us-central2-b {reach} -- --config=" in stdout
    create = next(call for call in slices.calls if "create" in call)
    assert create == [
        *("alpha", "compute", "tpus", "tpu-vm", "create", "pod"),
        *("--zone=us-central2-b", "--project=other", "--quiet"),
        *("--accelerator-type=v4-16", "--version=tpu-vm-tf-2.16.1-pod-pjrt"),
        *("--autocheckpoint-enabled", "--reserved", "--internal-ips", "--network=net"),
        *("--subnetwork=sub", "--service-account=me@x.iam", "--labels=a=b,c=d"),
    ]
    ssh = [call for call in slices.calls if "ssh" in call or "scp" in call]
    assert all(call[0] == "alpha" and "--tunnel-through-iap" in call for call in ssh)
    assert all("--project=other" in call for call in slices.calls)


def test_the_dry_run_is_bash_and_does_what_it_says(cloud):
    slices = cloud(acts=["42", "kill", "0"])
    flags = [*SLICE, "--queued", "--spot", "--dry_run", "--down_when_done"]
    nasty = "--workdir=gs://bucket/a b'c\"$(false)`false`\\\n\t!"
    code, stdout, stderr = slices.launch("up", *flags, *TRAIN[:-1], nasty)
    assert (code, stderr) == (0, "")
    assert not (slices.folder / "calls").exists()
    for besides in ("coordinator.py status", "remote/clean.sh", "--quiet --force"):
        assert besides in stdout
    done = subprocess.run(
        ["bash", "-c", stdout.replace("sleep 20", "sleep 0")],
        env=slices.environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert slices.verbs("create") == ["create"] * 3
    assert (slices.state["node"], slices.state["queued"]) == (None, None)
    started = re.findall(r'"text": ("\[\[.*?")}?$', done.stderr, re.M)
    assert started or "sam_pod.main" in done.stderr
    frames = [
        json.loads(x) for x in done.stderr.splitlines() if x.startswith('{"at": 0')
    ]
    ours, load_library = json.loads(frames[0]["text"].splitlines()[0])
    assert ours == [
        *("-m", "sam_pod.main", *TRAIN[1:-1], nasty),
        "--tpu=grpc://10.130.0.2:8470,grpc://10.130.0.3:8470",
    ]
    assert load_library == "0"
