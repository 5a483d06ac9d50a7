"""Running commands, and what their errors mean: texts that users reported."""

import sys
import time

import pytest

from launch.tpu import gcloud, phrases
from launch.tpu.gcloud import Kind

NOT_FOUND = (
    "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: Resource "
    "'projects/p/locations/europe-west4-a/nodes/pod' was not found. This command is "
    "authenticated as 1-compute@developer.gserviceaccount.com which is the active "
    "account specified by the [core/account] property\n- '@type': "
    "type.googleapis.com/google.rpc.ResourceInfo\n"
)


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        (NOT_FOUND, Kind.NOT_FOUND),
        (NOT_FOUND.replace("nodes/pod'", "nodes/pod2'"), Kind.OTHER),
        (NOT_FOUND.replace("/nodes/pod'", "'"), Kind.OTHER),
        (NOT_FOUND.replace("nodes", "queuedResources"), Kind.OTHER),
        ("ALREADY_EXISTS: Resource 'projects/p/nodes/pod' exists", Kind.EXISTS),
        (
            '"There is no more capacity in the zone \\"us-central1-c\\"; you can try"',
            Kind.STOCKOUT,
        ),
        ("Insufficient reserved capacity. Contact customer support", Kind.STOCKOUT),
        ("Quota limit 'TPUV6EPreemptible' has been exceeded. Limit: 0", Kind.QUOTA),
        ("You do not currently have an active account selected.", Kind.LOGIN),
        ("PERMISSION_DENIED: Permission denied on 'locations/x'", Kind.DENIED),
        ("INVALID_ARGUMENT: Runtime version x is unknown", Kind.INVALID),
        ("ERROR: (gcloud) unrecognized arguments: --x", Kind.INVALID),
        ("HTTPSConnectionPool: Max retries exceeded", Kind.OTHER),
        (
            "WARNING: Your active project does not match the quota project in your "
            "local Application Default Credentials file.\nHTTPSConnectionPool: failed",
            Kind.OTHER,
        ),
        ("", Kind.OTHER),
    ],
)
def test_an_error_has_a_kind(stderr, kind):
    assert gcloud.classify(stderr, "nodes/pod") is kind


def test_nothing_is_not_found_when_nothing_was_asked_for():
    assert gcloud.classify(NOT_FOUND) is Kind.OTHER


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        ("", "gcloud ended with exit code 7"),
        ("Using ssh batch size of 1.\nlast words\n", "last words"),
        (
            "SSH: Attempting to connect to worker 0...\nError: no Python 3.10\n##### "
            "Command execution on worker 0 failed with exit status 1. Continuing.",
            "Error: no Python 3.10",
        ),
        ("noise\nERROR: (gcloud.x) Bad thing.\nmore\n", "(gcloud.x) Bad thing."),
        (
            'ERROR: (gcloud.x) {\n  "code": 8,\n  "message": "No."\n}\n',
            '(gcloud.x) { "code": 8, "message": "No." }',
        ),
    ],
)
def test_an_error_is_one_line(stderr, line):
    assert gcloud.one_line(stderr, 7) == line


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path):
    script = f"sleep 60 & echo $! >{tmp_path}/pid; trap '' TERM; wait; wait"
    start = time.monotonic()
    with pytest.raises(gcloud.GcloudError) as caught:
        gcloud.call(["bash", "-c", script], timeout_seconds=1)
    assert "gave no answer in 1 s" in str(caught.value)
    assert time.monotonic() - start < 20
    pid = (tmp_path / "pid").read_text().strip()
    stat = f"/proc/{pid}/stat"
    try:
        with open(stat) as file:
            assert file.read().split()[2] == "Z"
    except FileNotFoundError:
        pass


def test_an_answer_that_is_no_object_is_an_error():
    for answer in ("[]", "no json", ""):
        with pytest.raises(gcloud.GcloudError):
            gcloud.ask([sys.executable, "-c", f"print({answer!r})"])


def test_the_name_of_many_hosts_is_the_address_of_each():
    assert phrases.tpu_address(["10.0.0.1"]) == "local"
    assert phrases.tpu_address(["10.0.0.1", "10.0.0.2"]) == (
        "grpc://10.0.0.1:8470,grpc://10.0.0.2:8470"
    )
