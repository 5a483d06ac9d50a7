"""What a start imports and does before its first step, in a process of its own."""

import subprocess
import sys

import pytest

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


# What a process of a preparation calls first, then what it imports of its own.
ALONE = """
import gc, sys
from sam_pod.process import heavy_imports
heavy_imports.tensorflow_alone()
from sam_pod.data.prepare import shard_writer
heavy = sorted(name for name in ("jax", "sklearn") if name in sys.modules)
assert "tensorflow" in sys.modules and heavy == [], heavy
assert gc.isenabled()
"""


@pytest.mark.parametrize("program", [PROGRAM, ALONE], ids=["run", "alone"])
def test_neither_jax_nor_clu_nor_scikit_learn_are_imported_before_they_are_needed(
    program,
):
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.ROOT,
    )
    assert run.returncode == 0, run.stderr
