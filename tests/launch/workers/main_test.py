"""python -m launch.workers: its arguments, and the trainer's."""

import sys

import pytest

from launch.workers import __main__ as workers
from launch.workers import processes
from sam_pod import errors
from tests import runs

RECIPE = str(runs.ROOT / "configs" / "resnet20.py") + ":digits"


def run(*arguments, cwd=None):
    return runs.main(*arguments, module="launch.workers", cwd=cwd)


def test_what_all_workers_share_is_added():
    command, config = workers.trainer_command([f"--config={RECIPE}"])
    assert command[:3] == [sys.executable, "-m", "sam_pod.main"]
    assert command[3] == f"--config={RECIPE}"
    assert command[4].startswith("--workdir=runs/resnet20-digits-2")
    assert command[5:] == ["--config.runtime.strategy=multiworker"]
    assert config.model.name == "resnet20"


@pytest.mark.parametrize(
    "given",
    [
        ["--workdir=my runs/'1'", "--config.runtime.strategy=one"],
        ["-workdir", "a", "-config.runtime.strategy", "mirrored"],
        ["--workdir=a", "--config.runtime.strategy=auto"],
    ],
)
def test_what_the_user_gave_is_kept(given):
    command, _ = workers.trainer_command([f"--config={RECIPE}", *given])
    assert command[3:] == [f"--config={RECIPE}", *given]


def test_the_recipes_strategy_is_kept(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "import ml_collections\ndef get_config(variant):\n    return ml_collections."
        "ConfigDict({'runtime': {'strategy': 'mirrored'}})\n"
    )
    command, _ = workers.trainer_command([f"--config={recipe}", "--workdir=a"])
    assert command[3:] == [f"--config={recipe}", "--workdir=a"]


@pytest.mark.parametrize("is_made", [False, True])
def test_jax_is_in_an_environment_of_its_own_where_that_is_made(
    monkeypatch, tmp_path, is_made
):
    monkeypatch.setattr(workers.checkout, "ROOT", tmp_path)
    (tmp_path / ".venv-pjrt").mkdir()
    if is_made:
        (tmp_path / ".venv-pjrt" / "installed").touch()
    command, _ = workers.trainer_command([f"--config={RECIPE}", "--workdir=a"], "pjrt")
    made = str(tmp_path / ".venv-pjrt" / "bin" / "python")
    assert command[0] == (made if is_made else sys.executable)
    assert command[-1] == "--config.runtime.strategy=pjrt"
    asked = ["--workdir=a", "--config.runtime.strategy=pjrt"]
    command, _ = workers.trainer_command([f"--config={RECIPE}", *asked])
    assert command[0] == (made if is_made else sys.executable)
    assert command[3:] == [f"--config={RECIPE}", *asked]


def test_arguments_are_not_touched():
    odd = "--config.data.dir=a b; $(c) \"d\" 'e' \\ *"
    command, _ = workers.trainer_command([f"--config={RECIPE}", odd])
    assert command[4] == odd


def test_a_mistake_of_the_trainers_is_told_at_once():
    with pytest.raises(errors.UserError, match=r"`sam.ro`; the nearest is `sam\.rho`"):
        workers.trainer_command([f"--config={RECIPE}", "--config.sam.ro=1"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_workers=2", f"--config={RECIPE}"], "arguments follow it"),
        (["--", f"--config={RECIPE}"], "--num_workers is missing"),
        (["--num_workers=0", "--", f"--config={RECIPE}"], "num_workers"),
        (["--num_workers=x", "--", f"--config={RECIPE}"], "num_workers"),
        (["--num_worker=2", "--", f"--config={RECIPE}"], "num_worker"),
        (
            ["--num_workers=2", "more", "--", f"--config={RECIPE}"],
            "'more' is not a flag",
        ),
        (["--num_workers=2", "--ports=1", "--"], "2 different numbers"),
        (["--num_workers=2", "--ports=8470,8470", "--"], "2 different numbers"),
        (["--num_workers=2", "--ports=8470,x", "--"], "2 different numbers"),
        (["--num_workers=2", "--ports=8470,65536", "--"], "2 different numbers"),
        (["--num_workers=2", "--"], "No recipe"),
        (["--num_workers=2", "--", "--config=none.py"], "No recipe at 'none.py'"),
        (["--num_workers=2", "--grace_seconds=-1", "--"], "grace_seconds"),
        (["--num_workers=2", "--max_restarts=-1", "--"], "max_restarts"),
        (["--num_workers=2", "--runtime=jax", "--"], "runtime"),
        (
            [
                *("--num_workers=2", "--runtime=pjrt", "--", f"--config={RECIPE}"),
                "--config.runtime.strategy=one",
            ],
            "--runtime=pjrt and `runtime.strategy` 'one' exclude each other",
        ),
    ],
)
def test_a_mistake_gets_one_line(capfd, monkeypatch, arguments, message):
    # The signals that the command blocks stay as they are here.
    monkeypatch.setattr(workers.stopping, "Requests", lambda: None)
    assert workers.main(["launch.workers", *arguments]) == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Error: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err


def test_a_port_in_use_gets_one_line(tmp_path):
    port, other = processes.take_ports(2)
    with processes.socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        code, lines, stderr = run(
            *("--num_workers=2", f"--ports={other},{port}", "--"),
            f"--config={RECIPE}",
            cwd=tmp_path,
        )
    assert (code, lines) == (1, [])
    assert stderr.startswith(f"Error: Port {port} is in use")
    assert stderr.count("\n") == 1


def test_a_mistake_that_each_trainer_finds_is_shown_once(tmp_path):
    path = tmp_path / "a file"
    path.touch()
    code, _, stderr = run(
        "--num_workers=2", "--", f"--config={RECIPE}", f"--workdir={path}"
    )
    assert code == 1
    why, verdict = stderr.splitlines()
    assert why[4:] == f"Error: --workdir={path} is a file; give a folder."
    assert verdict.startswith("Error: exit code 1 from worker 0, 1;")


def test_help(capfd, monkeypatch):
    monkeypatch.setattr(workers.stopping, "Requests", lambda: None)
    assert workers.main(["launch.workers", "--help"]) == 0
    assert "--grace_seconds" in capfd.readouterr().out
    assert workers.main(["launch.workers", "--num_workers=2", "--", "--help"]) == 0
    assert "--config.sam.rho" in capfd.readouterr().out


def test_a_bug_ends_with_its_traceback(capfd, monkeypatch):
    monkeypatch.setattr(workers.stopping, "Requests", lambda: None)
    monkeypatch.setattr(workers, "trainer_command", lambda *_: 1 / 0)
    assert workers.main(["launch.workers", "--num_workers=2", "--"]) == 70
    assert "ZeroDivisionError" in capfd.readouterr().err
