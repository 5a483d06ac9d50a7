"""Jobs of stand-ins, real processes: who fails, who waits, what runs again."""

import json
import os
import pathlib
import signal

import psutil
import pytest

from launch.workers import restarts
from tests.launch import jobs


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0, 0), 0),
        ((0, 42), 42),
        ((-9, 42), 42),
        ((0, -11), 42),
        ((-6, 134), 42),
        ((42, 1), 1),
        ((-9, 1), 1),
        ((1, 70), 1),
        ((42, 70), 70),
        ((-6, 2), 2),
    ],
)
def test_verdict(codes, expected):
    assert restarts.verdict(dict(enumerate(codes))) == expected
    assert restarts.verdict(dict(enumerate(reversed(codes)))) == expected


def test_pauses_double_up_to_a_minute():
    rule = restarts.Rule()
    pauses = [rule.pause_seconds(restart) for restart in (1, 2, 3, 6, 7, 8, 5000)]
    assert pauses == [1, 2, 4, 32, 60, 60, 60]


def test_each_worker_finds_its_place(start):
    job = start("print(json.dumps(config))", number=3)
    assert job.wait() == 0
    assert job.stderr == ""
    found = {int(line[1]): json.loads(line[4:]) for line in job.lines}
    assert found.keys() == {0, 1, 2}
    addresses = found[0]["cluster"]["worker"]
    assert len(set(addresses)) == 3
    low = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
    for address in addresses:
        host, port = address.split(":")
        assert host == "127.0.0.1"
        assert 1024 <= int(port) < int(low)
    for index, config in found.items():
        assert config == {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }


@pytest.mark.parametrize("code", [1, 70, 3])
def test_an_error_counts_more_than_who_lost_whom(start, code):
    # Worker 0 has ended with 42 before worker 1 is done with its own code.
    job = start(
        "ready()\nif index == 0:\n    sys.exit(42)\n"
        f"wait_gone(0)\nprint('why', file=sys.stderr)\nsys.exit({code})"
    )
    assert job.wait() == code
    assert job.num_starts() == 1
    why, verdict = job.stderr.splitlines()
    assert why == "[1] why"
    assert verdict.startswith(f"Error: exit code {code} from worker 1;")


def test_a_job_that_ends_well_waits_for_all(start):
    job = start("ready()\nif index == 1:\n    wait_gone(0)\n    print('last')")
    assert job.wait() == 0
    assert job.lines[-1] == "[1] last"


@pytest.mark.parametrize(
    "end", ["sys.exit(42)", "os.kill(os.getpid(), signal.SIGKILL)", "os.abort()"]
)
def test_all_are_started_again_on_other_ports(start, end):
    job = start(
        "print('ports', config['cluster']['worker'])\n"
        f"if index == 1 and attempt < 3:\n    {end}"
    )
    assert job.wait() == 0
    assert job.stderr == ""
    assert job.num_starts(0) == job.num_starts(1) == 3
    assert len({line.split("ports")[1] for line in job.lines if "ports" in line}) == 3
    said = [line for line in job.lines if "restart" in line]
    assert [f"; restart {n} of 10 in " in line for n, line in enumerate(said, 1)] == [
        True,
        True,
    ]


def test_kill_9_of_a_worker(start):
    job = start(
        "ready()\nif attempt == 1:\n"
        "    wait_gone(1) if index == 0 else signal.pause()\n    sys.exit(42)"
    )
    os.kill(job.pids()[1], signal.SIGKILL)
    assert job.wait() == 0
    assert job.num_starts() == 2
    assert any("Worker 1 died of signal 9 (Killed); restart" in x for x in job.lines)


@pytest.mark.parametrize("limit", [0, 2])
def test_restarts_have_a_limit(start, limit):
    job = start("sys.exit(42)", max_restarts=limit)
    assert job.wait() == 42
    assert job.num_starts() == limit + 1
    assert job.stderr.count("\n") == 1
    assert f"gave up after {limit} restarts in a row" in job.stderr


def test_a_run_that_lived_long_is_a_new_beginning(start):
    job = start("sys.exit(42 * (attempt < 5))", max_restarts=1, stable_seconds=0.0)
    assert job.wait() == 0
    assert job.num_starts() == 5
    assert not any("restart 2" in line for line in job.lines)


def test_who_notices_by_itself_gets_no_signal(start):
    job = start(
        "on_sigterm(lambda: print('SIGTERM'))\nready()\n"
        "wait_ready(0, 1)\nwait_gone(1) if index == 0 else None\nsys.exit(42)",
        max_restarts=0,
    )
    assert job.wait() == 42
    assert not any("SIGTERM" in line for line in job.lines)


def test_who_does_not_notice_is_asked_then_killed(start):
    job = start(
        "if index == 0:\n    on_sigterm(lambda: (print('asked'), sys.exit(42)))\n"
        "if index == 1:\n    on_sigterm(lambda: print('deaf'))\n"
        "ready()\nwait_ready(0, 1, 2)\n"
        "while index < 2:\n    signal.pause()\nsys.exit(42)",
        number=3,
        max_restarts=0,
        grace_seconds=0.3,
    )
    pids = job.pids(3)
    assert job.wait() == 42
    assert "[0] asked" in job.lines
    assert "[1] deaf" in job.lines
    assert not any(jobs.is_alive(pid) for pid in pids.values())


def test_a_stopped_worker_is_killed(start):
    job = start("ready()\nsignal.pause()", max_restarts=0, grace_seconds=0.3)
    pids = job.pids()
    os.kill(pids[0], signal.SIGSTOP)
    stopped = psutil.Process(pids[0])
    jobs.wait_until(lambda: stopped.status() == psutil.STATUS_STOPPED)
    os.kill(pids[1], signal.SIGKILL)
    assert job.wait() == 42
    assert not jobs.is_alive(pids[0])
