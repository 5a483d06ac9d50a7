"""uv installs from where pip does, and nothing of it is shown."""

import os
import subprocess
import sys

import pytest

from launch import mirror
from tests import runs

URL = "https://user:secret@mirror.example/simple"
MORE = "https://more.example/simple"


@pytest.mark.parametrize(
    ("pip", "expected"),
    [
        ({}, {}),
        ({"index-url": URL}, {"UV_DEFAULT_INDEX": URL}),
        (
            {"extra-index-url": f"\n{URL}\n{MORE}"},
            {
                "UV_INDEX": f"{URL} {MORE}",
                "UV_INDEX_STRATEGY": "unsafe-best-match",
            },
        ),
        ({"find-links": "/wheels /more"}, {"UV_FIND_LINKS": "/wheels,/more"}),
        (
            {"trusted-host": "a.example b.example:8080"},
            {"UV_INSECURE_HOST": "a.example,b.example:8080"},
        ),
        ({"cert": "/ca.pem"}, {"SSL_CERT_FILE": "/ca.pem"}),
        ({"client-cert": "/me.pem"}, {"SSL_CLIENT_CERT": "/me.pem"}),
        ({"default-timeout": "99"}, {"UV_HTTP_TIMEOUT": "99"}),
        ({"keyring-provider": "subprocess"}, {"UV_KEYRING_PROVIDER": "subprocess"}),
        ({"keyring-provider": "import"}, {}),
        ({"no-index": "true"}, {"UV_OPTIONS": "--no-index"}),
        ({"no-index": "0"}, {}),
        (
            {"proxy": "http://p.example:1"},
            dict.fromkeys(
                ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"), "http://p.example:1"
            ),
        ),
    ],
)
def test_each_option_of_pip_is_told_to_uv(pip, expected):
    assert mirror.variables(pip, {}) == expected


@pytest.mark.parametrize(
    ("pip", "environment"),
    [
        ({"index-url": URL}, {"UV_DEFAULT_INDEX": MORE}),
        ({"index-url": URL}, {"UV_INDEX_URL": MORE}),
        ({"find-links": "/wheels"}, {"UV_FIND_LINKS": "/mine"}),
        ({"cert": "/ca.pem"}, {"SSL_CERT_FILE": "/mine.pem"}),
    ],
)
def test_what_uv_was_told_by_the_user_stays(pip, environment):
    assert mirror.variables(pip, environment) == {}


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_pip_finds_in_the_environment_count(name):
    assert mirror.variables({}, {name: "/ca.pem"}) == {"SSL_CERT_FILE": "/ca.pem"}


def clean(**more):
    names = ("PIP_", "UV_", "SSL_", "REQUESTS_", "CURL_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    return {**kept, **more}


@pytest.mark.parametrize("by", ["file", "section", "environment"])
def test_pips_files_and_its_environment_are_read(tmp_path, by):
    config = tmp_path / "pip.conf"
    text = f"[global]\nindex-url = {MORE if by != 'file' else URL}\n"
    if by == "section":
        text += f"[install]\nindex_url = {URL}\n"
    config.write_text(text)
    more = {"PIP_INDEX_URL": URL} if by == "environment" else {}
    printed = subprocess.run(
        [sys.executable, runs.ROOT / "launch" / "mirror.py"],
        env=clean(PIP_CONFIG_FILE=str(config), **more),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"export UV_DEFAULT_INDEX={URL}\n" in printed


def test_where_pip_looks_is_named_when_it_fails(tmp_path):
    root = tmp_path / "root"
    (root / "launch").mkdir(parents=True)
    environment = runs.ROOT / "launch" / "environment.sh"
    (root / "launch" / "environment.sh").write_text(environment.read_text())
    (root / "requirements.lock").write_text("uv==1\n")
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "installed").write_text("an older lock")
    python = root / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "ERROR: no uv==1" >&2\nexit 1\n')
    python.chmod(0o755)
    script = 'source "$1/launch/environment.sh"; make_environment "$1"'
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "x", root],
        env=clean(PATH="/usr/bin:/bin"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    pips, ours = ran.stderr.splitlines()[-2:]
    assert pips == "ERROR: no uv==1"
    assert ours.startswith("Error: pip could not") and "`pip config list`" in ours
    assert (root / ".venv" / "installed").read_text() == "an older lock"


@pytest.mark.parametrize("fails", [False, True])
def test_uv_is_called_with_them_and_pip_follows_where_it_fails(tmp_path, fails):
    """By stand-ins, which write what they were called with."""
    root, environment = tmp_path / "root", tmp_path / "root" / ".venv"
    (root / "launch").mkdir(parents=True)
    for name in ("environment.sh", "mirror.py"):
        (root / "launch" / name).write_text((runs.ROOT / "launch" / name).read_text())
    (root / "requirements.lock").write_text("uv==1\n")
    (environment / "bin").mkdir(parents=True)
    (environment / "installed").write_text("an older lock")
    programs = {
        environment / "bin" / "python": 'case "$*" in\n'
        f'*"pip config list"*) echo "global.index-url=\'{URL}\'" ;;\n'
        f'*mirror.py) exec {sys.executable} "$@" ;;\n'
        '*) echo "pip $*" >>"$CALLS" ;;\nesac',
        environment / "bin" / "uv": 'echo "uv $* from $UV_DEFAULT_INDEX" >>"$CALLS"\n'
        f'echo "error: cannot reach {URL}" >&2\nexit {int(fails)}',
    }
    for path, text in programs.items():
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    calls = tmp_path / "calls"
    script = 'source "$1/launch/environment.sh"; make_environment "$1"; env'
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "x", root],
        env=clean(PATH="/usr/bin:/bin", CALLS=str(calls), PIP_INDEX_URL=URL),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    called = calls.read_text().splitlines()
    assert called[0].startswith("uv pip install") and called[0].endswith(f"from {URL}")
    assert [line.split()[0] for line in called] == ["uv", "pip"][: 1 + fails]
    assert "secret" not in ran.stderr
    assert ("trying pip" in ran.stderr) == fails
    # What is for uv alone is not left to the training.
    assert "UV_DEFAULT_INDEX" not in ran.stdout
    assert (environment / "installed").read_text() != "an older lock"
