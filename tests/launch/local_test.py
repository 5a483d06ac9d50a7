"""The launch scripts, beside stand-ins for Python; CI itself makes the environment."""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path):
    """Return a copy of what the scripts need, in a folder with a space."""
    copy = tmp_path / "my project"
    for name in ("launch", "tests"):
        (copy / name).mkdir(parents=True)
    for name in ("launch/local.sh", "launch/environment.sh", "tests/run.sh"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copy(ROOT / "requirements.lock", copy)
    return copy


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run(path, *arguments, cwd=None, **environment):
    return subprocess.run(
        ["bash", path, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


def installed(project):
    """Give the project an environment that is complete, as the marker says."""
    lock = (project / "requirements.lock").read_bytes()
    marker = subprocess.run(["cksum"], input=lock, capture_output=True, check=True)
    script(project / ".venv/bin/python", 'printf "%s\\n" "$PYTHONPATH" "$@"')
    (project / ".venv/installed").write_bytes(marker.stdout)


@pytest.mark.parametrize("name", ["launch/local.sh", "tests/run.sh"])
@pytest.mark.parametrize("version", ["(3, 9)", "(3, 13)", None])
def test_a_python_that_does_not_fit_gets_one_line(project, tmp_path, name, version):
    python = tmp_path / "bin" / "python"
    if version:
        # Evaluates the scripts' own check with another version.
        real = shutil.which("python3")
        script(
            python,
            f'exec "{real}" -c "import sys; sys.version_info = {version}; '
            'exec(sys.argv[1])" "$2"',
        )
    result = run(project / name, PYTHON=str(python))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "3.10, 3.11 or 3.12" in result.stderr
    assert not (project / ".venv").exists()


def test_a_python_without_venv_gets_one_line(project, tmp_path):
    python = tmp_path / "bin" / "python"
    script(python, '[ "$1" = -c ]')
    result = run(project / "launch/local.sh", PYTHON=str(python))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "python3-venv" in result.stderr
    assert not (project / ".venv").exists()


def test_a_second_run_starts_at_once_from_any_folder(project, tmp_path):
    installed(project)
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    result = run(
        project / "launch/local.sh",
        "--config.sam.rho=0",
        "--workdir=a b; $(false)",
        cwd=elsewhere,
        PYTHONPATH="",
        PATH="/usr/bin:/bin",
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        str(project),
        "-m",
        "sam_pod.main",
        f"--config={project}/configs/resnet20.py:digits",
        "--config.sam.rho=0",
        "--workdir=a b; $(false)",
    ]


def test_another_lock_is_installed_with_its_hashes(project, tmp_path):
    installed(project)
    (project / ".venv/installed").write_text("another lock")
    script(tmp_path / "bin" / "uv", 'printf "uv %s\\n" "$@" >&2')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    result = run(project / "launch/local.sh", PATH=path)
    assert result.returncode == 0
    assert "uv --require-hashes\nuv --requirement\n" in result.stderr
    assert f"uv {project}/requirements.lock" in result.stderr
    assert run(project / "launch/local.sh", PATH=path).stderr == ""


def test_a_failed_installation_is_not_taken_for_a_finished_one(project, tmp_path):
    installed(project)
    (project / ".venv/installed").write_text("another lock")
    script(tmp_path / "bin" / "uv", "exit 3")
    script(project / ".venv/bin/python", '[ "$2" != pip ]')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    assert run(project / "launch/local.sh", PATH=path).returncode == 1
    assert (project / ".venv/installed").read_text() == "another lock"


def test_the_lock_pins_uv_and_names_no_index():
    lock = (ROOT / "requirements.lock").read_text()
    code = f'source "{ROOT}/launch/environment.sh"; uv_requirement "{ROOT}"'
    pinned = subprocess.run(
        ["bash", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert pinned.startswith("uv==")
    assert pinned.count("--hash=sha256:") == pinned.count("\n") - 1 > 3
    assert "://" not in lock
    for line in lock.splitlines():
        assert line.startswith(("#", "    --hash=sha256:")) or "==" in line, line


# Installs when its input ends; and what does so is counted.
SLOW = """
source "$1/launch/environment.sh"
install_environment() {
  is_installed "$@" && return
  echo installing
  read -r
  mkdir -p "$1/.venv"
  cksum <"$1/requirements.lock" >"$1/.venv/installed"
}
make_environment "$1"
"""


def test_of_several_that_come_at_once_one_installs_and_the_rest_wait(project):
    def start():
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(
            ["bash", "-euc", SLOW, "-", str(project)], text=True, **pipes
        )

    with start() as first:
        assert first.stdout.readline() == "installing\n"
        with start() as second:
            line = f"Another process installs into {project}/.venv: waiting for it.\n"
            assert second.stderr.readline() == line
            assert first.communicate("\n") == ("", "")
            assert second.communicate() == ("", "")
    assert (first.returncode, second.returncode) == (0, 0)


def test_where_the_installer_dies_the_next_installs(project):
    with subprocess.Popen(
        ["bash", "-euc", SLOW, "-", str(project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout.readline() == "installing\n"
        first.kill()
    done = subprocess.run(
        ["bash", "-euc", SLOW, "-", str(project)],
        input="\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "installing\n")


@pytest.mark.parametrize(
    ("name", "locks"),
    [
        ("pjrt", ["requirements-pjrt.lock"]),
        ("pjrt-tpu", ["requirements-pjrt.lock", "sam_pod/pjrt/libtpu.lock"]),
        ("pjrt-cuda", ["requirements-pjrt.lock", "sam_pod/pjrt/cuda.lock"]),
    ],
)
def test_a_runtime_has_an_environment_and_locks_of_its_own(
    project, tmp_path, name, locks
):
    for lock in locks:
        (project / lock).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / lock, project / lock)
    python = project / ".venv-pjrt/bin/python"
    script(python, 'printf "%s\\n" "$@"')
    (project / ".venv-pjrt/installed").write_text("another lock")
    script(tmp_path / "bin" / "uv", 'printf "uv %s\\n" "$@" >&2')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    first, second = (
        run(project / "launch/local.sh", f"--runtime={name}", "--a=b c", PATH=path)
        for _ in range(2)
    )
    wanted = "".join(f"uv --requirement\nuv {project}/{lock}\n" for lock in locks)
    assert wanted in first.stderr
    assert second.stderr == ""  # The marker says that all of them are there.
    assert second.stdout.splitlines() == [
        "-m",
        "sam_pod.main",
        f"--config={project}/configs/resnet20.py:digits",
        "--config.runtime.strategy=pjrt",
        "--a=b c",
    ]


def test_a_study_runs_by_the_runtime_that_is_named(project):
    (project / "requirements-pjrt.lock").write_text("")
    environment = project / ".venv-pjrt"
    script(environment / "bin/python", 'printf "%s\\n" "$@"')
    made = subprocess.run(
        ["cksum"], input=b"", cwd=project, capture_output=True, check=True
    )
    (environment / "installed").write_bytes(made.stdout)
    words = ("--runtime=pjrt", "--study", "--jobs=1")
    said = run(project / "launch/local.sh", *words).stdout.splitlines()
    assert said[:2] == ["-m", "sam_pod.study"]
    assert said[-2:] == ["--config.runtime.strategy=pjrt", "--jobs=1"]


def test_python_3_10_is_too_old_for_the_runtime_that_jax_is(project, tmp_path):
    shutil.copy(ROOT / "requirements-pjrt.lock", project)
    real, python = shutil.which("python3"), tmp_path / "bin" / "python"
    script(
        python,
        f'exec "{real}" -c "import sys; sys.version_info = (3, 10); '
        'exec(sys.argv[1])" "$2"',
    )
    result = run(project / "launch/local.sh", "--runtime=pjrt", PYTHON=str(python))
    assert result.returncode == 1
    assert result.stderr.startswith("Error: no Python 3.11 or 3.12 found")
    assert result.stderr.count("\n") == 1


def test_an_unknown_runtime_gets_one_line(project):
    result = run(project / "launch/local.sh", "--runtime=cuda")
    assert result.returncode == 1
    assert result.stderr == (
        "Error: --runtime=cuda is no runtime: --runtime=pjrt, pjrt-tpu or pjrt-cuda\n"
    )


@pytest.mark.parametrize(
    "lock",
    [
        "requirements-pjrt.lock",
        "sam_pod/pjrt/libtpu.lock",
        "sam_pod/pjrt/cuda.lock",
    ],
)
def test_every_line_of_a_runtimes_lock_has_hashes_and_no_index(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[a-z])", text, flags=re.M)[1:]
    assert entries
    for entry in entries:
        assert "==" in entry and entry.count("--hash=sha256:") >= 1, entry
