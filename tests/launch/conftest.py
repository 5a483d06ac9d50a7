"""What the launchers' tests share."""

import pytest

from tests.launch import jobs


@pytest.fixture
def start(tmp_path):
    """Start jobs of stand-ins; what is left of one at the end is killed."""
    started = []

    def start(code, *arguments, **keywords):
        started.append(jobs.Job(tmp_path, code, *arguments, **keywords))
        return started[-1]

    yield start
    for job in started:
        job.kill()
