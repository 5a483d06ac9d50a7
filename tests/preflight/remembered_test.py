"""Compiles are remembered by all that they depend on; a damaged one is done again."""

import dataclasses
import gzip
import os
import pathlib
import subprocess
import sys

import pytest

from sam_pod.lowering import programs as programs_lib
from sam_pod.preflight import compiler
from tests import fixtures
from tests.preflight import stand_ins
from tests.preflight.programs import job, small_step

ROOT = pathlib.Path(__file__).parent.parent.parent
stand_in = stand_ins.stand_in


def test_what_another_framework_lowered_is_remembered_by_its_bytes(monkeypatch):
    monkeypatch.setattr(compiler, "version", lambda *_: "1.2.3")
    programs = [compiler.Foreign(b"a", 4), compiler.Foreign(b"b", 4)]
    keys = [compiler.digest(job(program=program)) for program in programs]
    assert len({*keys, compiler.digest(job())}) == 3
    assert keys[0] == compiler.digest(job(program=compiler.Foreign(b"a", 4)))


def test_a_compile_is_remembered_by_program_topology_and_version(
    stand_in, tmp_path, monkeypatch
):
    runs, cache = stand_in(), tmp_path / "cache"
    assert stand_ins.compile_all([job()], cache)[0].figures == {"flops": 7}
    assert stand_ins.compile_all([job()], cache)[0].is_cached
    assert runs() == 1
    others = [job("v5e:2x4"), job("v6e:2x2"), job(program=small_step(8))]
    for count, other in enumerate(others, start=2):
        assert not stand_ins.compile_all([other], cache)[0].is_cached
        assert runs() == count
    monkeypatch.setattr(compiler, "version", lambda *_: "1.2.4")
    assert not stand_ins.compile_all([job()], cache)[0].is_cached
    undonated = dataclasses.replace(small_step(), aliases=())
    assert not stand_ins.compile_all([job(program=undonated)], cache)[0].is_cached


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
    stand_ins.compile_all([job()], cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert not stand_ins.compile_all([job()], cache)[0].is_cached
    assert runs() == 2
    assert stand_ins.compile_all([job()], cache)[0].is_cached


def test_what_the_compiler_refuses_is_remembered(stand_in, tmp_path):
    runs = stand_in('echo \'{"error": "RESOURCE_EXHAUSTED"}\' > "$3/result.json"')
    for _ in range(2):
        (found,) = stand_ins.compile_all([job()], tmp_path / "cache")
        assert found.error == "RESOURCE_EXHAUSTED"
    assert runs() == 1


def test_a_cache_that_cannot_be_written_loses_no_result(stand_in, tmp_path):
    stand_in()
    (tmp_path / "file").write_text("")
    assert (
        stand_ins.compile_all([job()], tmp_path / "file" / "cache")[0].figures["flops"]
        == 7
    )
