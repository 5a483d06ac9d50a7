"""Connecting, each in a process of its own: a device is configured once."""

import subprocess
import sys

import pytest

from sam_pod import errors, runtime


def connect(arguments):
    code = (
        "from sam_pod import runtime\n"
        f"s = runtime.connect({arguments})\n"
        "print(type(s).__name__, s.num_replicas_in_sync)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    return (run.stdout or run.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("", "OneDeviceStrategy 1"),
        ("'one'", "OneDeviceStrategy 1"),
        ("cpu_replicas=4", "MirroredStrategy 4"),
        ("'mirrored', cpu_replicas=2", "MirroredStrategy 2"),
        ("tpu='local'", "No TPU answers at --tpu=local: "),
    ],
)
def test_connects_to_what_is_there(arguments, found):
    assert found in connect(arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("tpus", {}, r"runtime\.strategy.*'tpus'.*'tpu'\?"),
        ("tpu", {}, "say which one: --tpu=local"),
        ("one", {"tpu": "local"}, "goes with `runtime.strategy` 'auto' or 'tpu'"),
        ("one", {"cpu_replicas": 2}, "must be 1 with a TPU"),
        ("auto", {"cpu_replicas": 2, "tpu": "local"}, "must be 1 with a TPU"),
    ],
)
def test_what_does_not_fit_is_refused(kind, arguments, message):
    with pytest.raises(errors.UserError, match=message):
        runtime.connect(kind, **arguments)
