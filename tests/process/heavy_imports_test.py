"""What a start imports and does before its first step, in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests import runs

PROGRAM = """
import os, sys
from sam_pod.process import command, heavy_imports
before = dict(os.environ)
command.set_environment()
heavy_imports.tensorflow()
from sam_pod import train
heavy = sorted(name for name in ("jax", "sklearn", "clu") if name in sys.modules)
assert heavy == [], heavy
assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == before.get("TF_ENABLE_ONEDNN_OPTS")
from clu import metric_writers
import jax, sklearn
jax.numpy.zeros(2)
"""


def start(**environment):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0", **environment},
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


def has_avx2():
    info = pathlib.Path("/proc/cpuinfo")
    return info.exists() and "avx2" in info.read_text().split()


def test_a_run_imports_only_what_it_needs_with_the_faster_kernels():
    said = start()
    # TensorFlow says so where it is imported, whoever has asked for them.
    assert "oneDNN custom operations are on" in said or not has_avx2()


@pytest.mark.slow
def test_the_environment_decides_which_kernels_there_are():
    assert "oneDNN custom operations are on" not in start(TF_ENABLE_ONEDNN_OPTS="0")
