"""What a start imports and does before its first step, in a process of its own."""

import subprocess
import sys

from tests import runs

PROGRAM = """
import sys
from sam_pod.process import command, heavy_imports
command.set_environment()
heavy_imports.tensorflow()
from sam_pod import train
heavy = sorted(name for name in ("jax", "sklearn", "clu") if name in sys.modules)
assert heavy == [], heavy
from clu import metric_writers
import jax, sklearn
jax.numpy.zeros(2)
"""


def test_a_run_imports_neither_jax_nor_clu_nor_scikit_learn_before_it_needs_them():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.ROOT,
    )
    assert run.returncode == 0, run.stderr
