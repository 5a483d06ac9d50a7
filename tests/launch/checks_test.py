"""`up` compiles the run for the slice before it asks for one."""

import importlib.util
import signal
import subprocess
import sys

import pytest

from launch import checkout, checks
from launch.tpu import __main__ as tpu
from sam_pod.machines import accelerators
from tests.launch import jobs, stand_in
from tests.launch.stand_in import TRAIN

CHILD = """
import pathlib, signal, sys, time
folder = pathlib.Path({folder!r})
def clean(*_):
    time.sleep(0.3)
    (folder / "cleaned").touch()
    sys.exit(42)
signal.signal(signal.SIGTERM, clean)
(folder / "began").touch()
while True:
    time.sleep(60)
"""
LAUNCHER = """
import sys
from launch import checkout, checks
from launch.tpu import __main__ as tpu
from sam_pod.machines import accelerators
words = sys.argv[1:]
tpu._launch = lambda argv: checks.compile_run(words)
sys.exit(tpu.main([]))
"""
PLACE = ["--name=pod", "--zone=us-central2-b", "--project=my-project"]
POD = [*PLACE, "--accelerator_type=v4-16", "--poll_seconds=0", "--pause_seconds=0"]


@pytest.fixture
def cloud(tmp_path):
    yield from stand_in.clouds(tmp_path)


@pytest.fixture
def compiles(monkeypatch):
    """Answer for the compiler with an exit code; return the words it was asked with."""
    asked = []

    def answer(code):
        def run(words):
            asked.append(words)
            return code

        monkeypatch.setattr(checks, "compile_run", run)
        return asked

    return answer


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)
def test_a_run_that_preflight_refuses_is_not_asked_for(cloud):
    slices = cloud()
    code, stdout, stderr = slices.launch(
        "up",
        "--accelerator_type=v4-16",
        *TRAIN,
        "--config.data.validation_examples=49999",
    )
    assert code == 1
    assert stderr.startswith("Error: `global_batch_size` is 256; it must be at most")
    assert stderr.count("\n") == 1
    assert stdout.endswith(
        "[launcher] Nothing was asked for; --nopreflight continues without these "
        "checks.\n"
    )
    assert slices.verbs("create", "describe") == []


@pytest.mark.parametrize("code", [1, 42, 70])
def test_its_exit_code_is_the_launchers(cloud, compiles, code, capsys):
    slices, asked = cloud(), compiles(code)
    assert tpu._launch(["tpu", "up", *POD, *TRAIN]) == code
    assert asked == [
        [
            *(sys.executable, "-m", "sam_pod.preflight"),
            *("--accelerator_type=v4-16", *TRAIN[1:]),
        ]
    ]
    assert not (slices.folder / "calls").exists()
    assert "Nothing was asked for" in capsys.readouterr().out


def test_only_a_run_is_compiled_and_only_where_that_is_wanted(compiles, monkeypatch):
    asked = compiles(0)
    monkeypatch.setattr(tpu.story, "account_for", lambda *_, **__: 0)
    for words in ([], ["--nopreflight", *TRAIN]):
        assert tpu._launch(["tpu", "up", *POD, *words]) == 0
    assert asked == []
    assert tpu._launch(["tpu", "up", *POD, *TRAIN]) == 0
    assert len(asked) == 1


def test_data_in_a_bucket_is_described_on_the_command_line(compiles, monkeypatch):
    asked = compiles(0)
    monkeypatch.setattr(tpu.story, "account_for", lambda *_, **__: 0)
    shape = ["--image_shape=8,8,1", "--num_classes=10", "--train_examples=1347"]
    assert tpu._launch(["tpu", "up", *POD, *shape, *TRAIN]) == 0
    assert asked[0][3:7] == ["--accelerator_type=v4-16", *shape]


def test_the_environment_of_jax_compiles_what_jax_will_run(tmp_path, monkeypatch):
    accelerator = accelerators.parse("v6e-16")
    words = checks.compile_words(TRAIN[1:], accelerator, by_jax=True)
    assert words[-1] == "--config.runtime.strategy=pjrt"
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    words = checks.compile_words(TRAIN[1:], accelerator, by_jax=True)
    assert words[0] == sys.executable  # Whose refusal says what to install.
    own = tmp_path / ".venv-pjrt/bin/python"
    own.parent.mkdir(parents=True)
    own.touch()
    words = checks.compile_words(TRAIN[1:], accelerator, by_jax=True)
    assert words[:3] == [str(own), "-m", "sam_pod.preflight"]


def test_an_interruption_ends_it_and_waits_until_it_has_cleaned_up(tmp_path):
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(folder=str(tmp_path)))
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, sys.executable, str(child)],
        cwd=stand_in.ROOT,
        stderr=subprocess.PIPE,
    )
    jobs.wait_until((tmp_path / "began").exists)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(600) == 42
    assert (tmp_path / "cleaned").exists()


def test_the_dry_run_prints_it_first_and_compiles_nothing(compiles, capsys):
    asked = compiles(1)
    assert tpu._launch(["tpu", "up", *POD, "--dry_run", *TRAIN]) == 0
    script = capsys.readouterr().out
    assert asked == []
    line = "-m sam_pod.preflight --accelerator_type=v4-16"
    assert 0 < script.index(line) < script.index("queued-resources describe pod")
    assert tpu._launch(["tpu", "up", *POD, "--dry_run", "--nopreflight", *TRAIN]) == 0
    assert "sam_pod.preflight" not in capsys.readouterr().out
