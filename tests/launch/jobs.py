"""Jobs of stand-ins as processes, for the tests of restarts, signals and output."""

import json
import time

import psutil

from tests import runs

DEADLINE_SECONDS = 60.0


class Job(runs.Process):
    """A launcher whose workers run `code`; see stand_ins.py for its vocabulary."""

    def __init__(self, folder, code, number=2, ports=(), **rule):
        rule = {"first_pause_seconds": 0.01, **rule}
        super().__init__(
            *(code, number, json.dumps(rule), json.dumps(ports)),
            module="tests.launch.stand_ins",
            cwd=folder,
        )
        self.folder = folder

    def num_starts(self, worker=0):
        return len((self.folder / f"starts-{worker}").read_text())

    def pids(self, number=2):
        """Return the process ids of all workers, by worker, once all are ready."""

        def found():
            return [line.split() for line in self.lines if "] pid " in line]

        while len(found()) < number:
            assert self.read_until("] pid "), self.stderr
        return {int(worker.strip("[]")): int(pid) for worker, _, pid in found()}


def is_alive(pid):
    """Return whether the process runs: a zombie, which nobody waits for, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
