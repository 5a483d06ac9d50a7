"""Connecting, each in a process of its own: a device is configured once."""

import functools
import json
import os
import subprocess
import sys

import pytest

from sam_pod import errors
from sam_pod.machines import runtime, tpu


def connect(arguments, **environment):
    code = (
        "from sam_pod.process import heavy_imports; heavy_imports.tensorflow()\n"
        "from sam_pod.machines import runtime; from sam_pod.machines import tpu\n"
        f"r = runtime.connect({arguments})\n"
        "print(type(r.strategy).__name__, r.strategy.num_replicas_in_sync, "
        "r.workers.index, r.workers.count, r.host_device)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    return (run.stdout or run.stderr).strip().splitlines()[-1]


slow = functools.partial(pytest.param, marks=pytest.mark.slow)
HERE = "0 1 /job:localhost/replica:0/task:0/device:CPU:0"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("", f"OneDeviceStrategy 1 {HERE}"),
        slow("'mirrored', cpu_replicas=2", f"MirroredStrategy 2 {HERE}"),
        slow("'one'", f"OneDeviceStrategy 1 {HERE}"),
        slow("cpu_replicas=4", f"MirroredStrategy 4 {HERE}"),
        slow("tpu_address=tpu.Address('local')", "No TPU answers at --tpu=local: "),
    ],
)
def test_connects_to_what_is_there(arguments, found):
    assert found in connect(arguments)


TWO = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}}


@pytest.mark.parametrize(
    ("kind", "arguments", "jobs", "message"),
    [
        ("tpus", {}, {}, r"runtime\.strategy.*'tpus'.*'tpu'\?"),
        ("tpu", {}, {}, "say which one: --tpu=local"),
        ("one", {"tpu_address": tpu.Address("local")}, {}, "goes with .* 'auto' or"),
        ("one", {"cpu_replicas": 2}, {}, "must be 1 with a TPU"),
        (
            "auto",
            {"cpu_replicas": 2, "tpu_address": tpu.Address("local")},
            {},
            "must be 1 with a TPU",
        ),
        ("auto", {"cpu_replicas": 2}, TWO, "must be 1 with .* several workers"),
        ("multiworker", {}, {}, "TF_CONFIG names no workers; set it, or start"),
        ("mirrored", {}, TWO, "TF_CONFIG names 2 workers.*unset it"),
        ("auto", {"tpu_address": tpu.Address("local")}, TWO, "names 2 workers"),
        ("auto", {}, {"cluster": 3}, "TF_CONFIG does not parse"),
    ],
)
def test_what_does_not_fit_is_refused(monkeypatch, kind, arguments, jobs, message):
    monkeypatch.setenv("TF_CONFIG", json.dumps(jobs))
    with pytest.raises(errors.UserError, match=message):
        runtime.connect(kind, **arguments)
