"""A shell script in the place of Python, as the worker that compiles.

Its third argument is the folder where the worker finds what it shall compile and leaves
what came of it.
"""

import shlex
import sys

import pytest

from sam_pod.preflight import compiler


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Return a function that puts a script in the worker's place.

    The script logs a line each time it runs; the fixture's `runs()` counts them.
    """
    log = tmp_path / "started"
    monkeypatch.setattr(compiler, "version", lambda *_: "1.2.3")
    monkeypatch.setattr(compiler, "_library", lambda: "")

    def use(body='echo \'{"flops": 7}\' > "$3/result.json"'):
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\necho $$ >> {shlex.quote(str(log))}\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return lambda: len(log.read_text().splitlines()) if log.exists() else 0

    use.log = log
    return use


def compile_all(jobs, cache, num_processes=1, progress=lambda line: None):
    return compiler.compile_all(
        jobs, num_processes=num_processes, progress=progress, cache=cache
    )
