"""A process that another starts: what it takes from it."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests import runs

GROUP = pathlib.Path("/proc/self/autogroup")
PROGRAM = """
import subprocess, sys
from sam_pod.process import child
child.start(["cat", "/proc/self/autogroup"], sys.argv[1]).wait()
"""


def group_of_a_child(path, *before):
    command = [*before, sys.executable, "-c", PROGRAM, str(path)]
    subprocess.run(command, check=True, cwd=runs.ROOT)
    return path.read_text().split()[1:]


@pytest.mark.skipif(
    not GROUP.exists() or not GROUP.read_text(),
    reason="this system does not share its cores out among sessions",
)
def test_the_session_of_a_child_is_as_nice_as_the_process(tmp_path):
    ours = os.nice(0)
    found = group_of_a_child(tmp_path / "nice", "nice", "-n", "7")
    assert found == ["nice", str(min(ours + 7, 19))]
    assert group_of_a_child(tmp_path / "as we are") == ["nice", str(ours)]
