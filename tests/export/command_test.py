"""The command `python -m sam_pod.export`: bad input, signals, help."""

import functools
import json
import os
import shutil
import signal

import pytest

from sam_pod import errors
from sam_pod.export import __main__ as command
from sam_pod.export import folder as export
from tests import runs


def break_data(workdir):
    config = json.loads((workdir / "config.json").read_text())
    config["data"]["dir"] = "/nowhere"
    (workdir / "config.json").write_text(json.dumps(config))


def break_inputs(workdir):
    (workdir / "inputs.json").write_text('{"data.dir": "", "model.name": ""}')


def break_config(workdir):
    (workdir / "config.json").write_text('{"sam": {"roh": 1.0}}')


def validate_nothing(workdir):
    shutil.rmtree(workdir / "checkpoints" / "best")
    config = json.loads((workdir / "config.json").read_text())
    config["data"]["validation"] = "none"
    (workdir / "config.json").write_text(json.dumps(config))


def replace_by_file(workdir):
    shutil.rmtree(workdir)
    workdir.write_text("mine")


def remove(name):
    return lambda workdir: shutil.rmtree(workdir / name)


@pytest.mark.parametrize(
    ("damage", "arguments", "message"),
    [
        (remove("."), {}, "holds no run, for it has no config.json"),
        (replace_by_file, {}, "holds no run, for it has no config.json"),
        (break_config, {}, "nearest is `sam.rho`"),
        (remove("checkpoints"), {}, "has no latest checkpoint yet: train"),
        (remove("checkpoints/best"), {"which": "best"}, "has no best checkpoint yet"),
        (validate_nothing, {"which": "best"}, "'none': take --which=latest"),
        (break_data, {}, "No data set at '/nowhere': prepare one"),
        (break_inputs, {}, "another content of `data.dir` .* or say in --data_dir"),
        (None, {"data_dir": "/nowhere"}, "No data set at '/nowhere'"),
        (None, {"num_replicas": 3}, r"--replicas is 3; .* allow \[1, 2, 4, 8, 16\]"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    interrupted, tmp_path, damage, arguments, message
):
    workdir = tmp_path / "run"
    shutil.copytree(interrupted[1], workdir)
    if damage:
        damage(workdir)
    with pytest.raises(errors.UserError, match=message) as raised:
        export.write(str(workdir), str(tmp_path / "out"), **arguments)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out*"))


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("full", "already holds files; name a new folder"),
        slow("full/file/out", "Cannot write .*Not a directory"),
        slow("/proc/out", "Cannot write /proc/out"),
        ("http://host/out", "http is for reading alone"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_in_one_line(
    interrupted, tmp_path, monkeypatch, output, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(errors.UserError, match=message) as raised:
        export.write(str(interrupted[1]), output)
    assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path) == ["full"]
    assert os.listdir(tmp_path / "full") == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=x"], "--workdir is missing"),
        (["--workdir=x"], "--output is missing"),
        (["--workdir=x", "--output=y", "--which=first"], "--which=first"),
        (["--workdir=x", "--output=y", "--replicas=0"], "--replicas=0"),
        (["--workdir=x", "--output=y", "--batch_size=no"], "--batch_size=no"),
    ],
)
def test_bad_flags_are_refused_in_one_line(capsys, arguments, message):
    assert command.main(["export", *arguments]) == 1
    stderr = capsys.readouterr().err
    assert stderr.startswith("Error: ") and stderr.count("\n") == 1
    assert message in stderr


def test_help_explains_itself(capsys):
    with pytest.raises(SystemExit):
        command.parse(["export", "--help"])
    text = capsys.readouterr().out
    for word in ("--workdir", "--replicas", "train_step.stablehlo", "42"):
        assert word in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("Lowering the training step", signal.SIGINT),
        ("Writing the SavedModel", signal.SIGTERM),
    ],
)
def test_a_signal_leaves_nothing(interrupted, tmp_path, line, number):
    process = runs.Process(
        f"--workdir={interrupted[1]}",
        f"--output={tmp_path / 'out'}",
        module="sam_pod.export",
    )
    assert process.read_until(line)
    process.send(number)
    assert process.wait() == 42
    assert process.stderr == "Interrupted: the same command starts it again.\n"
    assert not list(tmp_path.iterdir())
