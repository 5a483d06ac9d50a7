"""What workers print: whole lines, every byte, whatever becomes of the reader."""

import os
import subprocess
import sys

import psutil

from launch.workers import output
from tests import runs
from tests.launch import jobs


def run(tmp_path, code, number=2, **streams):
    """Run a job of stand-ins to its end; its streams are bytes."""
    return subprocess.run(
        [sys.executable, "-m", "tests.launch.stand_ins", code, str(number), "{}", "[]"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(runs.ROOT)},
        check=False,
        timeout=600,
        **(streams or {"capture_output": True}),
    )


def test_lines_of_both_streams_stay_whole(tmp_path):
    # The longest are more than a pipe takes at once; both streams go to one pipe.
    lines = [f"{n} " + "x" * (200_000 if n % 100 == 0 else 150) for n in range(3000)]
    code = (
        "import threading\n"
        "def fill(stream):\n"
        "    for n in range(3000):\n"
        "        size = 200_000 if n % 100 == 0 else 150\n"
        "        stream.write(f'{n} ' + 'x' * size + '\\n')\n"
        "    stream.flush()\n"
        "threading.Thread(target=fill, args=[sys.stderr]).start()\nfill(sys.stdout)"
    )
    done = run(tmp_path, code, 3, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0
    expected = [f"[{worker}] {line}" for worker in range(3) for line in lines * 2]
    assert sorted(done.stdout.decode().splitlines()) == sorted(expected)


def test_order_of_one_stream(tmp_path):
    done = run(tmp_path, "for n in range(5000):\n    print(n)")
    for worker in (b"[0] ", b"[1] "):
        shown = [x for x in done.stdout.splitlines() if x.startswith(worker)]
        assert shown == [worker + str(n).encode() for n in range(5000)]


def test_bytes_pass_unchanged_and_a_last_line_is_ended(tmp_path):
    raw = bytes(set(range(256)) - {10})
    code = f"os.write(1, {raw!r})\nos.write(2, b'\\n\\xff')"
    done = run(tmp_path, code, 1)
    assert done.stdout == b"[0] " + raw + b"\n"
    assert done.stderr == b"[0] \n[0] \xff\n"


def test_a_line_without_end_is_shown_in_parts(tmp_path):
    size = 3 * output.LONGEST_LINE_BYTES
    done = run(tmp_path, f"sys.stdout.write('y' * {size})", 1)
    parts = done.stdout.splitlines()
    assert len(parts) > 2
    assert b"".join(part.removeprefix(b"[0] ") for part in parts) == b"y" * size


def test_the_same_error_is_shown_once(tmp_path):
    code = (
        "ready()\nwait_ready(0, 1)\n"
        "print('Error: wrong key', file=sys.stderr)\n"
        "print(f'Error: only {index}', file=sys.stderr)\n"
        "print('Error: wrong key')\n"
        "sys.exit(1)"
    )
    done = run(tmp_path, code)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert sum(b"wrong key" in line for line in lines) == 1
    assert {b"[0] Error: only 0", b"[1] Error: only 1"} < set(lines)
    assert lines[-1].startswith(b"Error: exit code 1 from worker 0, 1;")
    assert done.stdout.count(b"Error: wrong key") == 2


def test_the_same_error_is_shown_again_after_a_restart(start):
    # At first by both workers, then by each of them alone.
    job = start(
        "if attempt == 1 or index == attempt - 2:\n"
        "    print('Error: again', file=sys.stderr)\n"
        "sys.exit(42 * (attempt < 3))"
    )
    assert job.wait() == 0
    assert job.stderr.count("Error: again") == 3


def test_the_run_outlives_its_reader(tmp_path):
    code = (
        "for n in range(100_000):\n    print(n)\npathlib.Path(f'done-{index}').touch()"
    )
    job = subprocess.Popen(
        [sys.executable, "-m", "tests.launch.stand_ins", code, "2", "{}", "[]"],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(runs.ROOT)},
    )
    job.stdout.readline()
    job.stdout.close()
    assert job.wait(timeout=600) == 0
    assert (tmp_path / "done-0").exists()
    assert (tmp_path / "done-1").exists()


def test_the_run_outlives_a_full_disk(tmp_path):
    with open("/dev/full", "wb") as full:
        done = run(tmp_path, "print('line\\n' * 200_000)", stdout=full, stderr=full)
    assert done.returncode == 0


def test_what_a_worker_leaves_behind(tmp_path):
    # Both hold the worker's stdout open: one in its group, one in a session of its own.
    code = (
        "for session in (False, True):\n"
        "    child = subprocess.Popen(\n"
        "        ['sleep', '3600'], start_new_session=session\n"
        "    )\n"
        "    print(child.pid)\n"
        "print('end')"
    )
    done = run(tmp_path, code, 1)
    assert done.returncode == 0
    same_group, own_session, end = done.stdout.decode().splitlines()
    assert end == "[0] end"
    jobs.wait_until(lambda: not jobs.is_alive(int(same_group[4:])))
    psutil.Process(int(own_session[4:])).kill()
