"""Manifests of every kind of slice: their schemas, and what follows a pod's end."""

import copy

import pytest

from launch.gke import jobset
from sam_pod.machines import accelerators
from tests.launch import schemas


def manifest(accelerator_type="v5litepod-4", **keywords):
    accelerator = accelerators.parse(accelerator_type)
    return jobset.manifest(
        jobset.Training(
            name="digits",
            accelerator=accelerator,
            topology=accelerator.topology,
            image="image:1",
            arguments=("--config=a.py", "--workdir=gs://b/c"),
            **keywords,
        )
    )


def job(document):
    return document["spec"]["replicatedJobs"][0]["template"]["spec"]


def pod(document):
    return job(document)["template"]["spec"]


def container(document):
    return pod(document)["containers"][0]


@pytest.mark.parametrize(
    ("accelerator_type", "nodes", "topology", "hosts", "chips"),
    [
        ("v3-8", "tpu-v3-device", "2x2", 1, 4),
        ("v3-32", "tpu-v3-slice", "4x4", 4, 4),
        ("v4-8", "tpu-v4-podslice", "2x2x1", 1, 4),
        ("v4-32", "tpu-v4-podslice", "2x2x4", 4, 4),
        ("v5litepod-1", "tpu-v5-lite-podslice", "1x1", 1, 1),
        ("v5litepod-4", "tpu-v5-lite-podslice", "2x2", 1, 4),
        ("v5litepod-8", "tpu-v5-lite-podslice", "2x4", 1, 8),
        ("v5litepod-16", "tpu-v5-lite-podslice", "4x4", 4, 4),
        ("v5p-128", "tpu-v5p-slice", "4x4x4", 16, 4),
        ("v6e-8", "tpu-v6e-slice", "2x4", 1, 8),
        ("v6e-16", "tpu-v6e-slice", "4x4", 4, 4),
        ("tpu7x-8", "tpu7x", "2x2x1", 1, 4),
        ("tpu7x-32", "tpu7x", "2x2x4", 4, 4),
    ],
)
@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"spot": True, "namespace": "research", "service_account": "trainer"},
        {"reservation": "mine", "by_jax": True},
    ],
)
def test_schemas_and_selectors(
    accelerator_type, nodes, topology, hosts, chips, keywords
):
    document = manifest(accelerator_type, **keywords)
    schemas.check(document)
    selector = pod(document)["nodeSelector"]
    assert selector["cloud.google.com/gke-tpu-accelerator"] == nodes
    assert selector["cloud.google.com/gke-tpu-topology"] == topology
    assert job(document)["completions"] == job(document)["parallelism"] == hosts
    resources = container(document)["resources"]
    assert resources["limits"] == resources["requests"] == {"google.com/tpu": chips}
    assert "google.com/tpu" in [t["key"] for t in pod(document)["tolerations"]]


def test_options_are_where_kubernetes_looks_for_them():
    document = manifest(
        spot=True,
        namespace="research",
        service_account="trainer",
        max_restarts=3,
        grace_period_seconds=25,
    )
    assert document["metadata"] == {"name": "digits", "namespace": "research"}
    assert document["spec"]["failurePolicy"]["maxRestarts"] == 3
    assert pod(document)["serviceAccountName"] == "trainer"
    assert pod(document)["terminationGracePeriodSeconds"] == 25
    assert pod(document)["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    reserved = pod(manifest(reservation="mine"))["nodeSelector"]
    assert reserved["cloud.google.com/reservation-name"] == "mine"


def test_one_host_runs_the_trainer():
    one = container(manifest())
    assert one["command"] == ["python", "-m", "sam_pod.main"]
    assert one["args"] == ["--config=a.py", "--workdir=gs://b/c", "--tpu=local"]


def test_several_hosts_run_servers_and_one_trainer():
    document = manifest("v4-32")
    several = container(document)
    assert several["command"] == ["python", "-m", "launch.gke.tpu_host"]
    assert several["args"] == ["--", "--config=a.py", "--workdir=gs://b/c"]
    assert job(document)["completionMode"] == "Indexed"
    assert job(document)["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}


@pytest.mark.parametrize("accelerator_type", ["v6e-8", "v6e-16", "tpu7x-8"])
def test_jax_has_the_same_command_in_each_pod_and_ends_with_the_last(accelerator_type):
    document = manifest(accelerator_type, by_jax=True)
    one = container(document)
    assert one["command"] == ["python", "-m", "sam_pod.main"]
    assert one["args"] == ["--config=a.py", "--workdir=gs://b/c"]
    assert "successPolicy" not in job(document)
    for exit_code in (42, 134):  # As JAX ends when a machine is lost.
        assert outcome(document, exit_code) == "all again"
    assert outcome(document, 1) == "failed"


def wrong(path, value):
    """Return a way to spoil a manifest at `path`, such as 'spec.replicatedJobs.0'."""

    def spoil(document):
        *parents, last = [int(p) if p.isdecimal() else p for p in path.split(".")]
        for key in parents:
            document = document[key]
        if value is None:
            del document[last]
        else:
            document[last] = value

    return spoil


JOB = "spec.replicatedJobs.0.template.spec"
POD = f"{JOB}.template.spec"


@pytest.mark.parametrize(
    "spoil",
    [
        wrong("spec.restarts", 3),
        wrong("spec.failurePolicy.maxRestart", 3),
        wrong("spec.failurePolicy.maxRestarts", "many"),
        wrong("spec.failurePolicy.rules.0.reasons", ["PodFailurePolicy"]),
        wrong("spec.failurePolicy.rules.0.onJobFailureReasons", "PodFailurePolicy"),
        wrong("spec.failurePolicy.rules.0.action", "Fail"),
        wrong("spec.failurePolicy.rules.0.name", None),
        wrong("spec.replicatedJobs.0.name", None),
        wrong("spec.replicatedJobs.0.replica", 1),
        wrong(f"{JOB}.backoff", 1),
        wrong(f"{JOB}.parallelism", "4"),
        wrong(f"{JOB}.podFailurePolicy.rules.0.action", None),
        wrong(f"{JOB}.podFailurePolicy.rules.1.onExitCodes.values", 42),
        wrong(f"{JOB}.podFailurePolicy.rules.1.onExitCode", {}),
        wrong(f"{JOB}.successPolicy", {"rule": []}),
        wrong(f"{POD}.graceSeconds", 30),
        wrong(f"{POD}.terminationGracePeriodSeconds", "30"),
        wrong(f"{POD}.nodeSelector", ["tpu"]),
        wrong(f"{POD}.containers.0.args", "--config=a.py"),
        wrong(f"{POD}.containers.0.name", None),
        wrong(f"{POD}.containers.0.limits", {}),
    ],
)
def test_the_schemas_bite(spoil):
    document = manifest()
    schemas.check(document)
    spoiled = copy.deepcopy(document)
    spoil(spoiled)
    with pytest.raises(schemas.Invalid):
        schemas.check(spoiled)


def outcome(document, exit_code, condition=None):
    """Return what becomes of the JobSet after a pod's end, as its controllers say.

    The rules of podFailurePolicy are read in order, then those of failurePolicy.
    """
    if exit_code == 0:
        return "done"
    reason = "BackoffLimitExceeded"
    assert job(document)["backoffLimit"] == 0
    for rule in job(document)["podFailurePolicy"]["rules"]:
        if matches(rule, exit_code, condition):
            if rule["action"] == "Ignore":
                return "pod again"
            assert rule["action"] == "FailJob"
            reason = "PodFailurePolicy"
            break
    for rule in document["spec"]["failurePolicy"]["rules"]:
        if reason in rule["onJobFailureReasons"]:
            assert rule["action"] == "FailJobSet"
            return "failed"
    return "all again"


def matches(rule, exit_code, condition):
    if "onPodConditions" in rule:
        return {"type": condition, "status": "True"} in rule["onPodConditions"]
    is_in = exit_code in rule["onExitCodes"]["values"]
    return is_in == (rule["onExitCodes"]["operator"] == "In")


@pytest.mark.parametrize("accelerator_type", ["v5litepod-4", "v4-32"])
@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        (0, "done"),
        (1, "failed"),  # The user's error.
        (2, "failed"),
        (42, "all again"),
        (70, "failed"),  # A bug.
        (126, "failed"),
        (127, "failed"),  # No such command in the image.
        (132, "failed"),  # SIGILL: the image is for another processor.
        (134, "all again"),  # SIGABRT
        (137, "all again"),  # SIGKILL, also out of memory.
        (139, "all again"),  # SIGSEGV
        (143, "all again"),  # SIGTERM
        (255, "all again"),
    ],
)
def test_what_follows_an_exit_code(accelerator_type, exit_code, expected):
    assert outcome(manifest(accelerator_type), exit_code) == expected


@pytest.mark.parametrize("exit_code", [42, 137, 143])
def test_what_follows_a_disruption(exit_code):
    one, several = manifest(), manifest("v4-32")
    assert outcome(one, exit_code, "DisruptionTarget") == "pod again"
    assert outcome(several, exit_code, "DisruptionTarget") == "all again"


@pytest.mark.parametrize("accelerator_type", ["v5litepod-4", "v4-32"])
def test_rules_that_only_the_server_checks(accelerator_type):
    document = manifest(accelerator_type)
    values = job(document)["podFailurePolicy"]["rules"][-1]["onExitCodes"]["values"]
    assert values == sorted(set(values))
    assert 0 not in values
    assert len(values) <= 255
    assert pod(document)["restartPolicy"] == "Never"


def test_the_longest_name_of_a_pod():
    name = "a" * 40
    assert jobset.longest_pod_name(name, 1) == f"{name}-train-0-0-abcde"
    assert jobset.longest_pod_name(name, 16) == f"{name}-train-0-15-abcde"
