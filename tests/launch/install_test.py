"""What is installed on hosts, and what is ended there, beside stand-ins for tools."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.launch.stand_in import ROOT, installed

DROPPED = {"tensorflow", "tensorflow-io", "tensorflow-io-gcs-filesystem"}
PAGE = ["libtpu==2.16.0rc0", "https://example.com/page"]


@pytest.fixture
def host(tmp_path):
    """Return a home with the project's folder in it, which has a space."""
    root = tmp_path / "my pod"
    shutil.copytree(ROOT / "launch", root / "launch")
    shutil.copy(ROOT / "requirements.lock", root)
    shutil.copy(ROOT / "requirements-pjrt.lock", root)
    (root / "sam_pod/pjrt").mkdir(parents=True)
    shutil.copy(ROOT / "sam_pod/pjrt/libtpu.lock", root / "sam_pod/pjrt")
    tool(tmp_path, "uv", f'printf "%s\\n" uv "$@" "" >>{tmp_path}/tools')
    return root


def tool(folder, name, text):
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


def python(folder, pip, is_old):
    """Make a Python 3.10 whose pip does as the test says.

    It may say that it is as old: by default it has the version that runs the tests.
    """
    check = f'[ "$1" != -c ] || exec "{sys.executable}" "$@"'
    if is_old:
        check = f'case "$*" in -c*"(3, 11)"*) exit 1 ;; esac\n{check}'
    return tool(folder, "python3.10", f"{check}\n{pip}")


def install(root, *arguments, python_is_old=False):
    folder = root.parent
    pip = f'printf "%s\\n" pip "$@" "" >>{folder}/tools'
    make = f'mkdir -p "{root}/.venv"'
    text = (folder / "bin/uv").read_text()
    tool(folder, "uv", f'{text}\n[ "$1" != venv ] || {make}')
    return subprocess.run(
        ["bash", root / "launch/remote/install.sh", *arguments],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHON": str(python(folder, pip, python_is_old)),
            "PATH": path(folder),
        },
        check=False,
    )


def path(folder):
    return f"{folder}/bin:/usr/bin:/bin"


def names(text):
    return re.findall(r"^([a-z0-9-]+)==", text, re.M)


def test_the_lock_is_installed_with_tensorflow_tpu_in_tensorflows_place(host):
    done = install(host, "2.16.1")
    assert (done.returncode, done.stderr) == (0, "")
    lock = (host / "requirements.lock").read_text()
    wanted = (host / "requirements.txt").read_text()
    assert sorted(names(wanted)) == sorted(
        [name for name in names(lock) if name not in DROPPED] + ["tensorflow-tpu"]
    )
    # Each with its hashes, and none with those of what was dropped.
    blocks = re.split(r"^(?=[a-z])", wanted, flags=re.M)[1:]
    for block in blocks:
        first, *rest = block.rstrip("\n").split("\n")
        assert first.endswith(" \\") and rest, first
        assert all("--hash=sha256:" in line for line in rest)
        assert block in lock or block.startswith("tensorflow-tpu==2.16.1 ")
    tools = (host.parent / "tools").read_text()
    assert tools.count("--require-hashes\n") == 2  # pip's for uv, and uv's.
    assert "--no-deps\n" in tools and "--find-links" not in tools
    assert names((host / "uv.txt").read_text()) == ["uv"]
    assert (host / ".venv/installed").read_text() == installed("2.16.1")


def test_a_single_host_gets_libtpu_as_well(host):
    assert install(host, "2.16.1", *PAGE).returncode == 0
    tools = (host.parent / "tools").read_text()
    assert f"--no-deps\n--find-links\n{PAGE[1]}\n{PAGE[0]}\n" in tools


@pytest.mark.parametrize(
    "is_new",
    [
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11), reason="the Python of the tests is old"
            ),
        ),
        False,
    ],
)
def test_jax_gets_its_own_locks_and_a_python_that_is_new_enough(host, is_new):
    done = install(host, "pjrt", python_is_old=not is_new)
    assert (done.returncode, done.stderr) == (0, "")
    tools = (host.parent / "tools").read_text()
    newer = str(host.parent / "bin/python3.10") if is_new else "3.12"
    assert f"uv\nvenv\n--quiet\n--python\n{newer}\n" in tools
    locks = [host / "requirements-pjrt.lock", host / "sam_pod/pjrt/libtpu.lock"]
    asked = "\n".join(f"--requirement\n{lock}" for lock in locks)
    assert f"--require-hashes\n{asked}\n" in tools
    assert (host / ".venv/installed").read_text() == installed("pjrt")
    (host.parent / "tools").unlink()
    assert install(host, "pjrt").returncode == 0
    assert not (host.parent / "tools").exists()


def test_a_failed_installation_for_jax_says_so_and_is_not_finished(host):
    tool(host.parent, "uv", '[ "$1" != pip ] || exit 1')
    done = install(host, "pjrt")
    assert done.returncode == 1
    assert done.stderr.endswith("the line above says why\n")
    assert not (host / ".venv/installed").exists()


def test_what_is_installed_is_not_installed_again(host):
    assert install(host, "2.16.1").returncode == 0
    (host.parent / "tools").unlink()
    assert install(host, "2.16.1").returncode == 0
    assert not (host.parent / "tools").exists()
    # Other arguments, or another lock, are another environment.
    assert install(host, "2.16.1", *PAGE).returncode == 0
    assert (host.parent / "tools").exists()


@pytest.mark.parametrize("verb", ["venv", "pip"])
def test_a_failed_installation_is_not_taken_for_a_finished_one(host, verb):
    tool(host.parent, "uv", f'[ "$1" != {verb} ] || exit 1')
    assert install(host, "2.16.1").returncode != 0
    assert not (host / ".venv/installed").exists()


def test_a_version_that_is_not_locked(host):
    done = install(host, "2.16.9")
    assert done.returncode == 1
    assert done.stderr.endswith("has no tensorflow-tpu==2.16.9\n")
    assert not (host / ".venv").exists()


def test_who_holds_the_chips_is_ended_and_the_servers_start_anew(tmp_path):
    tool(tmp_path, "sudo", f'echo "$@" >>{tmp_path}/tools; exec "$@"')
    tool(tmp_path, "rm", "true")
    tool(tmp_path, "systemctl", "true")
    device = tmp_path / "accel 0"
    device.write_text("")
    other = tmp_path / "accel1"
    holders = [
        subprocess.Popen(
            ["bash", "-c", 'exec 3<"$0"; echo; exec sleep 60 <&3', name],
            stdout=subprocess.PIPE,
        )
        for name in (device, "/dev/null")
    ]
    for holder in holders:
        holder.stdout.readline()
    done = subprocess.run(
        ["bash", ROOT / "launch/remote/clean.sh", device, other],
        env={**os.environ, "PATH": path(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert holders[0].wait(600) == -9
    assert holders[1].poll() is None
    holders[1].kill()
    holders[1].wait()
    for holder in holders:
        holder.stdout.close()
    tools = (tmp_path / "tools").read_text().splitlines()
    assert tools[-2:] == ["rm -f /tmp/libtpu_lockfile", "systemctl restart tpu-runtime"]


def test_a_host_without_chips_or_servers_is_clean(tmp_path):
    tool(tmp_path, "sudo", f'echo "$@" >>{tmp_path}/tools')
    tool(tmp_path, "systemctl", "exit 1")
    done = subprocess.run(
        ["bash", ROOT / "launch/remote/clean.sh"],
        env={**os.environ, "PATH": path(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "tools").read_text() == "rm -f /tmp/libtpu_lockfile\n"
