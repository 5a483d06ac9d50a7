"""Check a JobSet by the schemas that Kubernetes and JobSet publish.

The envelope by the models that are generated from JobSet's API (kubeflow-trainer-api),
the Job and the Pod in it by Kubernetes' own schemas.
"""

import kubernetes_validate
from kubeflow_trainer_api.models import jobset_v1alpha2_job_set as models

# From the CRD: enums are not in the models.
ACTIONS = {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"}


class Invalid(Exception):
    """A field that is unknown, missing, or of a wrong type."""


def check(manifest):
    """Raise Invalid unless the JobSet keeps all schemas."""
    try:
        known = models.JobsetV1alpha2JobSet.from_dict(manifest).to_dict()
    except ValueError as error:
        raise Invalid(str(error)) from error
    # The models read what they know: another field is lost.
    if known != manifest:
        raise Invalid(f"{known} is left of {manifest}")
    if not {r["action"] for r in manifest["spec"]["failurePolicy"]["rules"]} <= ACTIONS:
        raise Invalid("an unknown action")
    for replicated in manifest["spec"]["replicatedJobs"]:
        job = replicated["template"]["spec"]
        _check_kind("batch/v1", "Job", job)
        _check_kind("v1", "Pod", job["template"]["spec"])


def _check_kind(version, kind, spec):
    document = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "any"},
        "spec": spec,
    }
    try:
        kubernetes_validate.validate(
            document, kubernetes_validate.latest_version(), strict=True
        )
    except kubernetes_validate.ValidationError as error:
        raise Invalid(str(error)) from error
