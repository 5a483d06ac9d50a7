"""The flags that gcloud knows and the errors it gives, for its stand-in.

Flags: `gcloud [alpha] compute tpus ... --help` of Google Cloud CLI 528. Errors, quoted:
marin-community/marin issues 3404 (not found, in gcloud_call.py) and 1612 (quota),
hashicorp/terraform-provider-google issue 21243 (capacity), gcloud itself (no account).
"""

COMMON = {"--zone", "--project", "--quiet", "--format"}
CREATE = {
    *("--spot", "--reserved", "--network", "--subnetwork", "--internal-ips"),
    *("--service-account", "--labels", "--accelerator-type"),
}
FLAGS = {
    ("tpu-vm", "create"): {*CREATE, "--version", "--preemptible"},
    ("queued-resources", "create"): {
        *(*CREATE, "--runtime-version", "--node-id", "--valid-until-duration"),
        "--guaranteed",
    },
    ("queued-resources", "delete"): {"--force"},
    ("tpu-vm", "ssh"): {"--worker", "--command", "--internal-ip"},
    ("tpu-vm", "scp"): {"--worker", "--internal-ip", "--recurse"},
}
ALPHA_FLAGS = {
    "create": {"--autocheckpoint-enabled"},
    "ssh": {"--tunnel-through-iap"},
    "scp": {"--tunnel-through-iap"},
}
ERRORS = {
    "quota": '{{\n  "code": 8,\n  "message": "Quota limit '
    "'TPUV4PodPerProjectPerZoneForTPUAPI' has been exceeded. Limit: 0 in zone "
    '{zone}."\n}}',
    "stockout": '{{\n  "code": 8,\n  "message": "There is no more capacity in the zone '
    '\\"{zone}\\"; you can try in another zone where Cloud TPU Nodes are offered (see '
    'https://cloud.google.com/tpu/docs/regions) [EID: 0x9f48947a7d57c8d]"\n}}',
    "denied": "PERMISSION_DENIED: Permission denied on resource project {project}. "
    "This command is authenticated as me@example.com which is the active account "
    "specified by the [core/account] property.\n- '@type': "
    "type.googleapis.com/google.rpc.ErrorInfo\n  reason: CONSUMER_INVALID",
    "zone": "NOT_FOUND: Resource 'projects/{project}/locations/{zone}' was not found. "
    "This command is authenticated as me@example.com.",
    "rate": "RESOURCE_EXHAUSTED: Quota exceeded for quota metric 'Read requests' and "
    "limit 'Read requests per minute' of service 'tpu.googleapis.com' for consumer "
    "'project_number:1'.",
    "exists": "ALREADY_EXISTS: Resource of project {project} in {zone} exists",
    "login": "You do not currently have an active account selected.\nPlease run:\n\n"
    "  $ gcloud auth login\n\nto obtain new credentials.",
    "network": "HTTPSConnectionPool(host='tpu.googleapis.com', port=443): Max retries "
    "exceeded (Caused by NewConnectionError: Temporary failure in name resolution)",
}
