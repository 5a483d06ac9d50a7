"""Compiling in processes: real compiles, and stand-ins that fail (stand_ins.py)."""

import dataclasses
import importlib.metadata
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest

from sam_pod import errors
from sam_pod.lowering import stablehlo
from sam_pod.preflight import compiler
from tests.preflight import stand_ins
from tests.preflight.programs import job, needs_libtpu, small_step

stand_in = stand_ins.stand_in
ROOT = pathlib.Path(__file__).parent.parent.parent


@needs_libtpu
@pytest.mark.slow
def test_what_another_framework_lowered_compiles_alike(tmp_path):
    program = small_step()
    same = compiler.Foreign(
        stablehlo.bytecode(program.hlo, program.aliases), program.num_replicas
    )
    mine, foreign = stand_ins.compile_all([job(), job(program=same)], tmp_path)
    assert (mine.error, foreign.error, foreign.is_cached) == ("", "", False)
    times = ("seconds", "cpu_seconds")
    kept = {name: mine.figures[name] for name in mine.figures if name not in times}
    assert kept.items() <= foreign.figures.items()


@needs_libtpu
def test_the_real_compiler_compiles_for_a_slice_once(tmp_path, monkeypatch):
    lines = []
    (first,) = stand_ins.compile_all([job()], tmp_path, progress=lines.append)
    assert (first.error, first.is_cached) == ("", False)
    assert first.figures["device_kind"] == "TPU v5 lite"
    assert first.figures["flops"] > 10_000 and first.figures["temporary_bytes"] > 0
    assert first.text.startswith("HloModule") and "all-reduce" in first.text
    state = [small_step().inputs[i].num_bytes for i, _ in small_step().aliases]
    assert first.figures["alias_bytes"] >= sum(state)
    assert any(line.startswith("Compiling step for v5e:2x2") for line in lines)
    monkeypatch.setattr(sys, "executable", "/bin/false")  # No process is started.
    (second,) = stand_ins.compile_all([job()], tmp_path)
    assert second == dataclasses.replace(first, is_cached=True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo one; echo boom >&2; exit 3", "the compiler died (3): boom"),
        ("exit 1", "the compiler died (1): it said nothing"),
        ("kill -9 $$", "was killed, for want of memory perhaps: --jobs=1 takes less"),
    ],
)
def test_a_compiler_that_dies_is_reported_and_not_remembered(
    stand_in, tmp_path, body, reason
):
    runs = stand_in(body)
    for count in (1, 2):
        (found,) = stand_ins.compile_all([job()], tmp_path / "cache")
        assert reason in found.error
        assert (found.text, runs()) == ("", count)


def test_a_topology_that_the_compiler_does_not_know_is_one_line(stand_in, tmp_path):
    told = (
        '{"error": "No such  topology", "is_passing": true, "unknown_topology": true}'
    )
    stand_in(f"echo '{told}' > \"$3/result.json\"")
    with pytest.raises(errors.UserError) as caught:
        stand_ins.compile_all([job("v6e:2x2")], tmp_path / "cache")
    assert str(caught.value) == (
        "libtpu 1.2.3 does not compile for v6e:2x2 (No such topology): take another "
        "topology."
    )
    assert not list((tmp_path / "cache").glob("*"))


def _not_installed(name):
    raise importlib.metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (_not_installed, "The TPU compiler is not installed; install it with: "),
        (lambda name: "0.0.99", "libtpu 0.0.99 is installed, and this needs libtpu "),
    ],
)
def test_without_the_pinned_compiler_one_line_says_how_to_install_it(
    monkeypatch, version, words
):
    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(errors.UserError) as caught:
        compiler.version()
    line = str(caught.value)
    assert line.startswith(words) and "\n" not in line
    command = shlex.split(line.partition(f"{sys.executable} ")[2])
    assert command[:3] == ["-m", "pip", "install"] and "--require-hashes" in command
    lock = pathlib.Path(command[command.index("--requirement") + 1])
    assert "libtpu==0.0.7" in lock.read_text()


_HOLD = """
import sys
from jax.experimental import topologies
topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@needs_libtpu
def test_another_process_in_the_lock_is_one_line_and_is_not_remembered(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "0")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD],
        env={
            **os.environ,
            **compiler._ENVIRONMENT,
            "TPU_LIBRARY_PATH": compiler._library(),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(errors.UserError, match="holds the TPU compiler's lock"):
            stand_ins.compile_all([job()], tmp_path)
    finally:
        holder.communicate("")
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("ALLOW_MULTIPLE_LIBTPU_LOAD")
    assert stand_ins.compile_all([job()], tmp_path)[0].error == ""


_FIVE = ("v5e:2x2", "v5e:2x4", "v5e:4x4", "v6e:2x2", "v6e:2x4")


def _most_at_once(stand_in, tmp_path, num_processes, begin=1):
    """Return the most stand-ins that ran at once, of five.

    Each counts when `begin` of them have begun, and stays for others to come.
    """
    counts, inside, begun = (tmp_path / name for name in ("counts", "inside", "begun"))
    inside.mkdir()
    begun.mkdir()
    stand_in(
        f"touch {inside}/$$ {begun}/$$\n"
        f"until [ $(ls {begun} | wc -l) -ge {begin} ]; do sleep 0.05; done\n"
        f"sleep 0.2; ls {inside} | wc -l >> {counts}; sleep 0.2\n"
        f'rm {inside}/$$; echo "{{\\"pid\\": $$}}" > "$3/result.json"'
    )
    jobs = [job(name) for name in _FIVE]
    found = stand_ins.compile_all(jobs, tmp_path / "cache", num_processes)
    started = [int(pid) for pid in stand_in.log.read_text().split()]
    assert [result.figures["pid"] for result in found] == started or num_processes > 1
    assert {result.figures["pid"] for result in found} == set(started)
    return max(int(n) for n in counts.read_text().split())


def test_as_many_compile_at_once_as_asked_for(stand_in, tmp_path):
    assert _most_at_once(stand_in, tmp_path, 3, begin=3) == 3


def test_one_at_a_time_where_each_takes_the_lock(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "0")
    assert _most_at_once(stand_in, tmp_path, 3) == 1


def test_an_interruption_ends_the_compilers(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(compiler.tempfile, "tempdir", str(tmp_path / "folders"))
    (tmp_path / "folders").mkdir()
    stand_in("exec sleep 100")

    def interrupt(line):
        del line
        if stand_in.log.exists() and len(stand_in.log.read_text().split()) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stand_ins.compile_all([job(), job("v6e:2x2")], tmp_path / "cache", 2, interrupt)
    for pid in map(int, stand_in.log.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list((tmp_path / "folders").iterdir())


def test_a_worker_ends_with_who_asked_for_it(tmp_path):
    os.mkfifo(tmp_path / "request.json")  # It waits for somebody to write there.
    worker = subprocess.Popen(
        [sys.executable, "-m", "sam_pod.preflight.compile_worker", tmp_path],
        stdin=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        time.sleep(0.5)
        assert worker.poll() is None
        worker.stdin.close()  # As the end of a process does, however it ends.
        assert worker.wait(timeout=600) == 1
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
