import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sam_pod import errors
from sam_pod.data.prepare import pool

REPOSITORY = os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
)


def nothing(*arguments):
    pass


def square(task, progress):
    progress(1)
    return task * task, os.getpid()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(count):
    told, seen = [], []
    results = pool.run(square, iter(range(7)), count, nothing, told.append, seen.append)
    assert sorted(seen) == sorted(results)
    assert [value for value, _ in results] == [i * i for i in range(7)]
    assert sum(told) == 7
    others = {process for _, process in results}
    assert (others == {os.getpid()}) == (count == 1)
    assert len(others) <= count
    assert not any(psutil.pid_exists(process) for process in others - {os.getpid()})


def taken_late(tasks, taken):
    for task in tasks:
        taken.append(task)
        yield task


def fail_at_3(task, progress):
    if task == 3:
        raise errors.UserError("the third")
    if task == -1:
        raise KeyError("a bug")
    return task


def test_tasks_are_taken_as_processes_are_free_and_the_first_error_ends_it():
    taken, tasks = (
        [],
        range(10**6),
    )  # The other process goes on until the error is seen.
    with pytest.raises(errors.UserError, match="the third"):
        pool.run(fail_at_3, taken_late(tasks, taken), 2, nothing, nothing)
    assert len(taken) < len(tasks)
    with pytest.raises(RuntimeError, match="KeyError: 'a bug'"):
        pool.run(fail_at_3, iter([1, -1]), 2, nothing, nothing)


def die(task, progress):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_told():
    with pytest.raises(pool.Died, match="perhaps for lack of memory"):
        pool.run(die, iter([1, 2]), 2, nothing, nothing)


def hang(task, progress):
    print(os.getpid(), flush=True)
    time.sleep(600)


def test_what_progress_raises_ends_the_processes():
    def stop(count):
        raise KeyboardInterrupt

    before = psutil.Process().children()
    with pytest.raises(KeyboardInterrupt):
        pool.run(hang, iter([1, 2]), 2, nothing, stop)
    # The resource tracker of multiprocessing stays.
    left = [p for p in psutil.Process().children() if p not in before]
    assert not [p for p in left if "spawn_main" in " ".join(p.cmdline())]


CODE = """
from tests.data.prepare import pool_test as here
from sam_pod.data.prepare import pool

if __name__ == "__main__":
    pool.run(here.hang, iter([1, 2]), 2, here.nothing, here.nothing)
"""


def test_they_do_not_outlive_a_parent_that_is_killed(tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    with subprocess.Popen(
        [sys.executable, tmp_path / "code.py"],
        env={**os.environ, "PYTHONPATH": REPOSITORY},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive
