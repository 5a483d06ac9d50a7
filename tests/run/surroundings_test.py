"""What changes a run's numbers from outside is said, and kept in the workdir."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from sam_pod.process import command
from sam_pod.run import surroundings
from tests import runs


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Begin each test without any flag of the environment."""
    for name in surroundings.current()["environment"]:
        monkeypatch.delenv(name)
    return monkeypatch


def said(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true"),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2"),
        ("TF_ENABLE_ONEDNN_OPTS", "0"),
        ("NVIDIA_TF32_OVERRIDE", "0"),
        ("TF_DETERMINISTIC_OPS", "1"),
        ("TF_CUDNN_DETERMINISTIC", "1"),
        ("TF_ENABLE_AUTO_MIXED_PRECISION", "1"),
        ("ONEDNN_MAX_CPU_ISA", "SSE41"),
        ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
        ("LIBTPU_INIT_ARGS", "--xla_tpu_x=1"),
    ],
)
def test_a_flag_that_changes_numbers_is_said_and_kept(
    plain, caplog, tmp_path, name, value
):
    caplog.set_level("INFO", "absl")
    surroundings.note(str(tmp_path))
    surroundings.tell()
    assert said(caplog) == []
    plain.setenv(name, value)
    surroundings.tell()
    surroundings.note(str(tmp_path))
    start, goes_on = said(caplog)
    assert start.startswith(f"The environment sets {name}={value}: numbers may differ")
    assert f"({name} was not set, is {value})" in goes_on
    kept = json.loads((tmp_path / surroundings.FILE).read_text())
    assert [entry["environment"] for entry in kept] == [{}, {name: value}]
    # In the same surroundings there is nothing more to say.
    surroundings.note(str(tmp_path))
    assert len(said(caplog)) == 2


@pytest.mark.parametrize(
    "name",
    [
        "TF_CPP_MIN_LOG_LEVEL",
        "TF_CONFIG",
        "PATH",
        "TF_FORCE_GPU_ALLOW_GROWTH",
        "OMP_NUM_THREADS",  # Kernels take TensorFlow's own threads.
        "PYTHONHASHSEED",
    ],
)
def test_what_changes_no_numbers_is_not_said(plain, caplog, name):
    plain.setenv(name, "1")
    surroundings.tell()
    assert said(caplog) == []


def test_other_versions_and_another_code_are_said(caplog, tmp_path, plain):
    surroundings.note(str(tmp_path))
    plain.setattr(surroundings.identity, "code_digest", lambda: "another")
    surroundings.note(str(tmp_path))
    (line,) = said(caplog)
    assert "code was " in line and ", is another)" in line


def test_another_number_of_cores_is_said_where_it_was_known(caplog, tmp_path, plain):
    plain.setattr(surroundings.child, "cores", lambda: [0, 1, 2])
    older = {k: v for k, v in surroundings.current().items() if k != "machine"}
    (tmp_path / surroundings.FILE).write_text(json.dumps([older]))
    surroundings.note(str(tmp_path))
    assert said(caplog) == []
    plain.setattr(surroundings.child, "cores", lambda: [0])
    surroundings.note(str(tmp_path))
    (line,) = said(caplog)
    assert "(cores was 3, is 1)" in line


@pytest.mark.parametrize(
    "text", ["", "[", '{"a": 1}', "[1]", "[{}]", '[{"versions": 1}]']
)
def test_a_broken_or_older_file_is_no_fault(tmp_path, text):
    (tmp_path / surroundings.FILE).write_text(text)
    surroundings.note(str(tmp_path))
    kept = json.loads((tmp_path / surroundings.FILE).read_text())
    assert kept[-1] == surroundings.current()


def python(*words, cwd, path=runs.ROOT, **more):
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path), **more},
        capture_output=True,
        text=True,
        check=False,
    )


SHADOWS = ("random.py", "keras.py", "numpy.py", "absl/__init__.py", "ml_collections.py")


@pytest.mark.parametrize("path", [runs.ROOT, f":{runs.ROOT}", f"{runs.ROOT}:."])
@pytest.mark.parametrize("module", ["sam_pod.main", "launch.workers"])
def test_files_of_the_working_folder_hide_no_module(tmp_path, module, path):
    for name in SHADOWS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('shadow')")
    ran = python("-m", module, "--help", cwd=tmp_path, path=path)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_the_working_folder_alone_has_is_found(tmp_path):
    """A recipe may import its neighbours."""
    (tmp_path / "mine.py").write_text("EPOCHS = 7\n")
    (tmp_path / "recipe.py").write_text(
        "import ml_collections, mine\n"
        "def get_config(variant):\n"
        "    return ml_collections.ConfigDict({'num_epochs': mine.EPOCHS})\n"
    )
    ran = python(
        "-m", "sam_pod.main", "--config=recipe.py", "--config.num_epoch=1", cwd=tmp_path
    )
    assert "nearest is `num_epochs`" in ran.stderr


def test_another_copy_of_the_package_is_named(tmp_path, caplog, plain):
    (tmp_path / "sam_pod").mkdir()
    (tmp_path / "sam_pod" / "__init__.py").write_text("")
    plain.syspath_prepend(tmp_path)
    surroundings.tell()
    (line,) = said(caplog)
    assert line.startswith("Two copies of sam_pod are on Python's path: ")
    assert line.endswith(f"{os.path.realpath(tmp_path / 'sam_pod')} does not.")


def test_a_launcher_and_a_trainer_of_two_copies_are_not_mixed(tmp_path):
    (tmp_path / "sam_pod").mkdir()
    (tmp_path / "sam_pod" / "__init__.py").write_text("")
    ran = python("-m", "launch.workers", "--help", cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Error: launch is in {pathlib.Path(runs.ROOT)}")
    assert ran.stderr.count("\n") == 1


def test_variables_that_have_no_say_break_nothing(plain):
    plain.setenv("TF_USE_LEGACY_KERAS", "1")  # tf_keras is not installed.
    plain.setenv("KERAS_MAX_EPOCHS", "many")
    plain.setenv("KERAS_BACKEND", "")
    plain.setenv("NO_PROXY", os.environ.get("NO_PROXY", ""))  # Put back afterwards.
    command.set_environment()
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert "KERAS_MAX_EPOCHS" not in os.environ
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
