"""What is refused before anything costs money: in one line, with gcloud unasked."""

import pathlib
import subprocess
import zipfile

import pytest

from launch import checkout, checks
from launch.tpu import __main__ as tpu
from sam_pod import errors
from sam_pod.config import command_line
from sam_pod.machines import accelerators
from tests.launch.stand_in import SLICE, Cloud

ROOT = pathlib.Path(__file__).parents[3]
PLACE = ["--name=pod", "--zone=us-central2-b", "--project=my-project"]
DATA = "--config.data.dir=gs://bucket/cifar10"
WORKDIR = "--workdir=gs://bucket/run"
RECIPE = "--config=configs/resnet20.py:sgd"
POD = [*PLACE, "--accelerator_type=v4-32"]
V6E = [*PLACE, "--accelerator_type=v6e-16"]
TRAIN = ["--", RECIPE, DATA, WORKDIR]


@pytest.fixture(autouse=True)
def cloud(tmp_path, monkeypatch):
    slices = Cloud(tmp_path)
    for key in ("PATH", "GCLOUD_STAND_IN"):
        monkeypatch.setenv(key, slices.environment[key])
    monkeypatch.chdir(ROOT)
    return slices


def refused(*argv):
    with pytest.raises(errors.UserError) as caught:
        tpu._launch(["tpu", *argv])
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["up", *PLACE, *TRAIN], "--accelerator_type is missing"),
        (
            ["up", *PLACE, "--accelerator_type=v4-33", *TRAIN],
            "no accelerator type 'v4-33'; it must be like v4-32, v5litepod-16, v6e-16 "
            "or tpu7x-8. The nearest is v4-32.",
        ),
        (
            ["up", *POD, "--", RECIPE, DATA, "--workdir=runs/a"],
            "--workdir=runs/a is not on gs://, and v4-32 has 4 hosts",
        ),
        (["up", *POD, "--", RECIPE, DATA, "--workdir=gs://"], "names no bucket"),
        (
            ["up", *POD, "--", RECIPE, DATA, "--workdir=gs:///run"],
            "--workdir=gs:///run names no bucket; give --workdir=gs://BUCKET/FOLDER.",
        ),
        (
            ["up", *POD, "--", RECIPE, "--config.data.dir=gs:///cifar10", WORKDIR],
            "--config.data.dir=gs:///cifar10 names no bucket",
        ),
        (["up", *POD, "--", RECIPE, DATA], "No --workdir; give --workdir=gs://"),
        (
            ["up", *POD, "--", RECIPE, "--config.data.dir=/data", WORKDIR],
            "`data.dir` is '/data', which the 4 hosts of v4-32 cannot read",
        ),
        (["up", *POD, "--", RECIPE, WORKDIR], "`data.dir` is 'data/cifar10', which"),
        (
            ["up", *POD, *TRAIN, "--config.global_batch_size=100"],
            "must be divisible by the number of replicas (16): take 96 or 112.",
        ),
        (
            ["up", *POD, *TRAIN, "--config.accumulate_steps=3"],
            "`sam.micro_batches` and `accumulate_steps` (3): take 240 or 288.",
        ),
        (
            ["up", *POD, *TRAIN, "--config.sam.sync=3"],
            "must divide the number of replicas (16): take one of [1, 2, 4, 8, 16]",
        ),
        (["up", *POD, *TRAIN, "--config.sam.roh=1"], "Unknown config key `sam.roh`"),
        (["up", *POD, *TRAIN, "--tpu=local"], "--tpu=local is not needed"),
        (
            ["up", *POD, *TRAIN, "--config.runtime.strategy=one"],
            "`runtime.strategy` is 'one'; on a TPU it must be",
        ),
        (
            ["up", *POD, *TRAIN, "--config.model.name=/tmp/a.keras"],
            "--config.model.name=/tmp/a.keras is not shipped",
        ),
        (
            ["up", *POD, *TRAIN, "--config.model.name=configs/resnet20.keras"],
            "configs/resnet20.keras', which is not there",
        ),
        (
            ["up", *POD, *TRAIN, "--config.model.trusted_modules=lambda,/tmp/a.py"],
            "--config.model.trusted_modules=/tmp/a.py is not shipped to the slice:",
        ),
        (
            ["up", *POD, *TRAIN, "--config.model.trusted_modules=configs/a.py"],
            "names configs/a.py, which is not there",
        ),
        (
            ["up", *POD, "--runtime_version=tpu-vm-tf-2.19.0-pod-pjrt", *TRAIN],
            "on v4-32 is known to be broken: pods hang in connect_to_cluster",
        ),
        (
            ["up", *POD, "--runtime_version=tpu-vm-tf-2.16.1-pjrt", *TRAIN],
            "starts no gRPC servers, which v4-32 with its 4 hosts needs",
        ),
        (
            ["up", *V6E, *TRAIN, "--config.runtime.strategy=tpu"],
            "TensorFlow does not train on v6e-16: take 'auto' or 'pjrt'",
        ),
        (
            ["up", *V6E, *TRAIN, "--config.global_batch_size=100"],
            "must be divisible by the number of replicas (16): take 96 or 112.",
        ),
        (
            ["up", *V6E, "--runtime_version=tpu-vm-tf-2.16.1-pod-pjrt", *TRAIN],
            "TensorFlow's, whose servers take the chips, and JAX executes this run's "
            "steps: take v2-alpha-tpuv6e",
        ),
        (
            ["up", *PLACE, "--accelerator_type=tpu7x-8", *TRAIN],
            "has no TPU7x; python -m launch.gke prints a JobSet for it.",
        ),
        (
            ["run", *PLACE, "--accelerator_type=tpu7x-8", "--dry_run", *TRAIN],
            "has no TPU7x",
        ),
        (["up", *POD, "--spot", "--reserved"], "exclude each other"),
        (["up", *POD, "--valid_until_duration=6h"], "goes with --queued"),
        (["up", *POD[1:], *TRAIN], "--name is missing; it is like pod-1."),
        (["up", "--name=pod", *POD[2:], *TRAIN], "--zone is missing"),
        (["up", *POD, "--name=-x;rm", *TRAIN], "--name=-x;rm must be like pod-1."),
        (["up", *POD, "--zone=us-central2", *TRAIN], "must be like us-central2-b."),
        (["down", *PLACE, "--name=A"], "--name=A must be like"),
        (["run", *PLACE], "No trainer's arguments"),
        (["run", *PLACE, "--dry_run", *TRAIN], "needs --accelerator_type"),
        (["upp", *POD], "'upp' is not a command; give one of up, status"),
        ([*POD], "'Nothing' is not a command"),
        (["down", *PLACE, "--", "x"], "`down` takes nothing after `--`."),
    ],
)
def test_a_mistake_is_one_line_and_asks_gcloud_nothing(cloud, argv, words):
    assert words in refused(*argv)
    assert not (cloud.folder / "calls").exists()


def test_weights_of_this_machine_are_not_on_a_slice(tmp_path):
    """What is in a bucket may be there, and so may what is not here."""
    accelerator = accelerators.parse("v4-32")
    flag = "--config.model.initial_weights="
    for place, refused in (
        (tmp_path, True),
        ("gs://bucket/run", False),
        ("runs/of-the-slice", False),
    ):
        given = [RECIPE, DATA, WORKDIR, f"{flag}{place}"]
        if refused:
            with pytest.raises(errors.UserError, match="copy it to a bucket, and give"):
                checks.trainer_arguments(given, accelerator)
        else:
            assert checks.trainer_arguments(given, accelerator)[1:] == tuple(given[1:])


def test_a_recipe_that_is_not_shipped(tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text((ROOT / "configs/resnet20.py").read_text())
    message = refused("up", *POD, "--", f"--config={recipe}:sgd", DATA, WORKDIR)
    assert message == (
        f"--config={recipe} is not shipped to the slice: move the file to "
        f"{ROOT / 'configs'}."
    )


def test_a_recipe_is_found_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = f"--config={ROOT}/tests/../configs/resnet20.py:sgd"
    assert (
        tpu._launch(["tpu", "up", *POD, "--dry_run", "--", recipe, DATA, WORKDIR]) == 0
    )
    assert f" {RECIPE} {DATA} {WORKDIR} --tpu=" in capsys.readouterr().out


def test_a_model_and_its_code_are_found_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    (tmp_path / "configs").mkdir()
    recipe = tmp_path / "configs/mine.py"
    recipe.write_text((ROOT / "configs/resnet20.py").read_text())
    with zipfile.ZipFile(tmp_path / "configs/mine.keras", "w") as file:
        file.writestr("config.json", "{}")
        file.writestr("model.weights.h5", b"")
    (tmp_path / "configs/layers.py").write_text("")
    monkeypatch.chdir(tmp_path / "bin")
    given = ["--config=../configs/mine.py:sgd", DATA, WORKDIR]
    model = "--config.model.name=../configs/mine.keras"
    accelerator = accelerators.parse("v4-32")
    code = "--config.model.trusted_modules=../configs/layers.py,installed.layers,lambda"
    found = checks.trainer_arguments([*given, model, code], accelerator)
    assert "names installed.layers: Python must find it" in capsys.readouterr().err
    assert found[0] == "--config=configs/mine.py:sgd"
    # There, in the project's folder, the last one counts.
    monkeypatch.chdir(tmp_path)
    values, _ = command_line.parse(["sam_pod.main", *found])
    assert values.config.model.name == "configs/mine.keras"
    there = values.config.model.trusted_modules
    assert there == "configs/layers.py,installed.layers,lambda"
    assert checks.trainer_arguments(found, accelerator) == found


def test_no_project(cloud):
    cloud.script["project"] = "(unset)"
    cloud.write_script()
    without = [flag for flag in POD if "project" not in flag]
    assert refused("up", *without, *TRAIN).startswith("No project: give --project=ID")
    assert cloud.calls == [["config", "get-value", "project", "--quiet"]]


def test_no_gcloud(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused("up", *POD, *TRAIN).startswith("gcloud is not on the PATH; install")


def test_the_command_prints_the_line_and_exits_with_1(cloud):
    code, stdout, stderr = cloud.launch("up", "--accelerator_type=v4-33")
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert stderr.startswith("Error: There is no accelerator type 'v4-33'")
    for flag in ("--accelerator=v4-32", "--poll_seconds=inf", "--pause_seconds=-1"):
        code, stdout, stderr = cloud.launch("up", *SLICE, flag)
        assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert not (cloud.folder / "calls").exists()


def test_a_single_host_may_keep_its_data_and_run(capsys):
    single = ["tpu", "up", *PLACE, "--accelerator_type=v4-8", "--dry_run"]
    assert tpu._launch([*single, "--", RECIPE, "--workdir=runs/a"]) == 0
    assert "--tpu=local'" in capsys.readouterr().out


def test_a_broken_runtime_can_be_insisted_on_with_a_warning(capsys):
    broken = ["--runtime_version=tpu-vm-tf-2.19.0-pod-pjrt", "--allow_broken_runtime"]
    assert tpu._launch(["tpu", "up", *POD, *broken, "--dry_run"]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("Warning: runtime tpu-vm-tf-2.19.0-pod-pjrt on v4-32 is")
    assert warning.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "status", "run", "logs", "ssh", "down"])
def test_every_dry_run_is_bash_and_asks_gcloud_nothing(cloud, command, capsys):
    without = [flag for flag in POD if "project" not in flag]
    rest = TRAIN if command in ("up", "run") else []
    assert tpu._launch(["tpu", command, "--dry_run", *without, *rest]) == 0
    script = capsys.readouterr().out
    assert not (cloud.folder / "calls").exists()
    subprocess.run(["bash", "-n", "-c", script], check=True)
    assert '--project="$project"' in script and "gcloud compute tpus" in script


def test_help_shows_the_commands_and_the_flags(capsys):
    with pytest.raises(SystemExit) as caught:
        tpu._launch(["tpu", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--[no]down_when_done" in text and "Exit codes: 0 done" in text
