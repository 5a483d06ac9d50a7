"""A training on a TPU slice of GKE, as a JobSet (jobset.x-k8s.io/v1alpha2).

Sources: the API of github.com/kubernetes-sigs/jobset; Kubernetes' Job; "TPUs in GKE"
and "Plan TPUs in GKE" at cloud.google.com/kubernetes-engine/docs/concepts. No cluster
has run these manifests yet.
"""

import dataclasses
import signal
from typing import Any

from sam_pod.machines import accelerators
from sam_pod.process import signals

# What the selectors of GKE's nodes call each generation; it offers no v2.
_NODES = {
    "v3": "tpu-v3-slice",
    "v4": "tpu-v4-podslice",
    "v5e": "tpu-v5-lite-podslice",
    "v5p": "tpu-v5p-slice",
    "v6e": "tpu-v6e-slice",
    "tpu7x": "tpu7x",  # As XPK has it; machines/accelerators.py says where that is.
}
_V3_OF_ONE_HOST = "tpu-v3-device"
_JOB = "train"
# Codes after which the same command continues: 42, deaths that another host may not see
# again, and 255, the code of a container whose node was lost.
RESTART_CODES = sorted(
    {
        signals.EXIT_CODE,
        *(
            128 + number
            for number in (
                signal.SIGABRT,
                signal.SIGBUS,
                signal.SIGKILL,
                signal.SIGSEGV,
                signal.SIGTERM,
            )
        ),
        255,
    }
)


@dataclasses.dataclass(frozen=True)
class Training:
    """What to run where."""

    name: str
    accelerator: accelerators.Accelerator
    topology: str
    image: str
    arguments: tuple[str, ...]  # The trainer's, with --workdir.
    namespace: str = ""
    service_account: str = ""
    spot: bool = False
    reservation: str = ""
    by_jax: bool = False  # Whether JAX executes the steps.
    max_restarts: int = 10
    grace_period_seconds: int = 60


def longest_pod_name(name: str, hosts: int) -> str:
    """Return the longest name that a pod of the JobSet `name` can have."""
    return f"{name}-{_JOB}-0-{hosts - 1}-abcde"


def is_offered(accelerator: accelerators.Accelerator) -> bool:
    """Return whether GKE has such slices."""
    return accelerator.generation in _NODES


def manifest(training: Training) -> dict[str, Any]:
    """Return the JobSet, ready for YAML."""
    metadata: dict[str, Any] = {"name": training.name}
    if training.namespace:
        metadata["namespace"] = training.namespace
    if training.accelerator.is_pod:
        metadata["annotations"] = {  # One slice, one node pool.
            "alpha.jobset.sigs.k8s.io/exclusive-topology": (
                "cloud.google.com/gke-nodepool"
            )
        }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {
                "maxRestarts": training.max_restarts,
                # A failed Job restarts all, unless its podFailurePolicy failed it.
                "rules": [
                    {
                        "name": "cannotContinue",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [
                {"name": _JOB, "replicas": 1, "template": {"spec": _job(training)}}
            ],
        },
    }


def _job(training: Training) -> dict[str, Any]:
    hosts = training.accelerator.hosts
    job: dict[str, Any] = {
        "parallelism": hosts,
        "completions": hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",  # The chips must be free again.
        "podFailurePolicy": {"rules": _pod_failure_rules(hosts)},
        "template": {"spec": _pod(training)},
    }
    if hosts > 1 and not training.by_jax:
        # The first pod has the coordinator; the others serve until they are stopped.
        job["successPolicy"] = {"rules": [{"succeededIndexes": "0"}]}
    return job


def _pod_failure_rules(hosts: int) -> list[dict[str, Any]]:
    """Return the rules, of which the first that matches a failed pod decides.

    A pod that matches none fails the Job for another reason, so all restarts.
    """
    fail = {
        "action": "FailJob",
        "onExitCodes": {"operator": "NotIn", "values": RESTART_CODES},
    }
    if hosts > 1:
        return [fail]
    # A node that is preempted or maintained costs no restart: the pod starts again.
    condition = {"type": "DisruptionTarget", "status": "True"}
    return [{"action": "Ignore", "onPodConditions": [condition]}, fail]


def _pod(training: Training) -> dict[str, Any]:
    accelerator = training.accelerator
    nodes = _NODES[accelerator.generation]
    if accelerator.generation == "v3" and not accelerator.is_pod:
        nodes = _V3_OF_ONE_HOST
    selector = {
        "cloud.google.com/gke-tpu-accelerator": nodes,
        "cloud.google.com/gke-tpu-topology": training.topology,
    }
    tolerations = [
        {"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    if training.spot:
        selector["cloud.google.com/gke-spot"] = "true"
        tolerations.append(
            {
                "key": "cloud.google.com/gke-spot",
                "operator": "Equal",
                "value": "true",
                "effect": "NoSchedule",
            }
        )
    if training.reservation:
        selector["cloud.google.com/reservation-name"] = training.reservation
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": training.grace_period_seconds,
        "nodeSelector": selector,
        "tolerations": tolerations,
        "containers": [_container(training)],
    }
    if training.service_account:
        pod["serviceAccountName"] = training.service_account
    return pod


def _container(training: Training) -> dict[str, Any]:
    chips = {"google.com/tpu": training.accelerator.chips_per_host}
    command, arguments = _command(training)
    container: dict[str, Any] = {
        "name": _JOB,
        "image": training.image,
        "command": command,
        # Kubernetes replaces $(NAME) in arguments, and $$ by $.
        "args": [text.replace("$", "$$") for text in arguments],
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
        "resources": {"requests": dict(chips), "limits": chips},
    }
    return container


def _command(training: Training) -> tuple[list[str], list[str]]:
    """Return what runs in each pod, and its arguments."""
    trainer = ["python", "-m", "sam_pod.main"]
    if training.by_jax:  # It finds the other hosts by what GKE says in each pod.
        return trainer, list(training.arguments)
    if training.accelerator.is_pod:
        return ["python", "-m", "launch.gke.tpu_host"], ["--", *training.arguments]
    return trainer, [*training.arguments, "--tpu=local"]
