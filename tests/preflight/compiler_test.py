"""Compiling in processes, and remembering it: real compiles, and stand-ins that fail.

A stand-in is a shell script in the place of Python; its third argument is the folder
where the worker finds what it shall compile and leaves what came of it.
"""

import dataclasses
import gzip
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
from sam_pod.lowering import programs as programs_lib
from sam_pod.lowering import stablehlo
from sam_pod.preflight import compiler
from tests import fixtures
from tests.preflight.programs import job, needs_libtpu, small_step

ROOT = pathlib.Path(__file__).parent.parent.parent


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


@needs_libtpu
@pytest.mark.slow
def test_what_another_framework_lowered_compiles_alike(tmp_path):
    program = small_step()
    same = compiler.Foreign(
        stablehlo.bytecode(program.hlo, program.aliases), program.num_replicas
    )
    mine, foreign = compile_all([job(), job(program=same)], tmp_path)
    assert (mine.error, foreign.error, foreign.is_cached) == ("", "", False)
    times = ("seconds", "cpu_seconds")
    kept = {name: mine.figures[name] for name in mine.figures if name not in times}
    assert kept.items() <= foreign.figures.items()


def test_what_another_framework_lowered_is_remembered_by_its_bytes(monkeypatch):
    monkeypatch.setattr(compiler, "version", lambda *_: "1.2.3")
    programs = [compiler.Foreign(b"a", 4), compiler.Foreign(b"b", 4)]
    keys = [compiler.digest(job(program=program)) for program in programs]
    assert len({*keys, compiler.digest(job())}) == 3
    assert keys[0] == compiler.digest(job(program=compiler.Foreign(b"a", 4)))


@needs_libtpu
def test_the_real_compiler_compiles_for_a_slice_once(tmp_path, monkeypatch):
    lines = []
    (first,) = compile_all([job()], tmp_path, progress=lines.append)
    assert (first.error, first.is_cached) == ("", False)
    assert first.figures["device_kind"] == "TPU v5 lite"
    assert first.figures["flops"] > 10_000 and first.figures["temporary_bytes"] > 0
    assert first.text.startswith("HloModule") and "all-reduce" in first.text
    state = [small_step().inputs[i].num_bytes for i, _ in small_step().aliases]
    assert first.figures["alias_bytes"] >= sum(state)
    assert any(line.startswith("Compiling step for v5e:2x2") for line in lines)
    monkeypatch.setattr(sys, "executable", "/bin/false")  # No process is started.
    (second,) = compile_all([job()], tmp_path)
    assert second == dataclasses.replace(first, is_cached=True)


def test_a_compile_is_remembered_by_program_topology_and_version(
    stand_in, tmp_path, monkeypatch
):
    runs, cache = stand_in(), tmp_path / "cache"
    assert compile_all([job()], cache)[0].figures == {"flops": 7}
    assert compile_all([job()], cache)[0].is_cached
    assert runs() == 1
    others = [job("v5e:2x4"), job("v6e:2x2"), job(program=small_step(8))]
    for count, other in enumerate(others, start=2):
        assert not compile_all([other], cache)[0].is_cached
        assert runs() == count
    monkeypatch.setattr(compiler, "version", lambda *_: "1.2.4")
    assert not compile_all([job()], cache)[0].is_cached
    undonated = dataclasses.replace(small_step(), aliases=())
    assert not compile_all([job(program=undonated)], cache)[0].is_cached


_PRINT_DIGEST = """
import tensorflow as tf
tf.config.experimental.enable_op_determinism()  # As here: it is another program.
from tests.preflight import programs
from sam_pod.preflight import compiler
compiler.version = lambda *_: "1.2.3"
print(compiler.digest(programs.job()))
"""


@pytest.mark.slow
def test_neither_names_nor_what_was_traced_before_change_the_digest(monkeypatch):
    monkeypatch.setattr(compiler, "version", lambda *_: "1.2.3")
    expected = compiler.digest(job())
    again = programs_lib.train_step(  # Keras numbers its layers again, so names differ.
        fixtures.small_recipe(fixtures.small_model()),
        (6, 6, 3),
        num_replicas=4,
        per_replica_batch_size=4,
    )
    assert again.hlo != small_step().hlo
    assert compiler.digest(job(program=again)) == expected
    elsewhere = subprocess.run(
        [sys.executable, "-c", _PRINT_DIGEST],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == expected


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda whole, n=n: whole[:n] for n in (0, 1, 20, -1)),
        lambda whole: whole[:30] + bytes(10) + whole[40:],
        lambda whole: gzip.compress(b"[]"),
    ],
)
def test_a_remembered_compile_that_is_damaged_is_done_again(stand_in, tmp_path, damage):
    runs, cache = stand_in(), tmp_path / "cache"
    compile_all([job()], cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert not compile_all([job()], cache)[0].is_cached
    assert runs() == 2
    assert compile_all([job()], cache)[0].is_cached


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
        (found,) = compile_all([job()], tmp_path / "cache")
        assert reason in found.error
        assert (found.text, runs()) == ("", count)


def test_a_topology_that_the_compiler_does_not_know_is_one_line(stand_in, tmp_path):
    told = (
        '{"error": "No such  topology", "is_passing": true, "unknown_topology": true}'
    )
    stand_in(f"echo '{told}' > \"$3/result.json\"")
    with pytest.raises(errors.UserError) as caught:
        compile_all([job("v6e:2x2")], tmp_path / "cache")
    assert str(caught.value) == (
        "libtpu 1.2.3 does not compile for v6e:2x2 (No such topology): take another "
        "topology."
    )
    assert not list((tmp_path / "cache").glob("*"))


def test_what_the_compiler_refuses_is_remembered(stand_in, tmp_path):
    runs = stand_in('echo \'{"error": "RESOURCE_EXHAUSTED"}\' > "$3/result.json"')
    for _ in range(2):
        (found,) = compile_all([job()], tmp_path / "cache")
        assert found.error == "RESOURCE_EXHAUSTED"
    assert runs() == 1


def test_a_cache_that_cannot_be_written_loses_no_result(stand_in, tmp_path):
    stand_in()
    (tmp_path / "file").write_text("")
    assert compile_all([job()], tmp_path / "file" / "cache")[0].figures["flops"] == 7


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
            compile_all([job()], tmp_path)
    finally:
        holder.communicate("")
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("ALLOW_MULTIPLE_LIBTPU_LOAD")
    assert compile_all([job()], tmp_path)[0].error == ""


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
    found = compile_all(jobs, tmp_path / "cache", num_processes)
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
        compile_all([job(), job("v6e:2x2")], tmp_path / "cache", 2, interrupt)
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
