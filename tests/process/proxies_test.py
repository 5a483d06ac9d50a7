"""No proxy stands between processes of this machine; one between machines is named."""

import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from launch.workers import processes
from sam_pod.process import proxies
from tests import runs

PROXY = "http://user:secret@proxy.example:3128"
NAMES = [
    name
    for lower in ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy", "no_proxy")
    for name in (lower, lower.upper())
]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Yield a setter; the environment has no proxies before and is whole after."""
    for name in [*NAMES, "no_grpc_proxy"]:
        monkeypatch.setenv(name, "")  # So that it is put back.
        monkeypatch.delenv(name)
    return monkeypatch


def spared(name):
    return os.environ[name].split(",")


def test_without_a_proxy_nothing_is_changed():
    before = dict(os.environ)
    assert proxies.spare(["10.0.0.1", "127.0.0.1"]) == ""
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", NAMES[:8])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.1.1", socket.gethostname()],
)
def test_this_machine_is_spared_whatever_the_proxy_is_called(environment, name, host):
    environment.setenv(name, PROXY)
    assert proxies.spare([host]) == ""
    for variable in ("no_proxy", "no_grpc_proxy"):
        assert {host, "127.0.0.1", "localhost", "::1"} <= set(spared(variable))


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [(n, n in ("grpc_proxy", "https_proxy", "http_proxy")) for n in NAMES[:8]],
)
def test_a_proxy_that_grpc_takes_to_another_machine_is_named(
    environment, name, is_taken
):
    environment.setenv(name, PROXY)
    line = proxies.spare(["127.0.0.1", "198.51.100.2", "198.51.100.3"])
    if not is_taken:
        assert line == ""
        return
    assert line.startswith(f"{name} puts the proxy proxy.example:3128 between")
    assert line.endswith("set no_proxy=198.51.100.2,198.51.100.3.")
    assert "secret" not in line


@pytest.mark.parametrize(
    "entry",
    [
        "198.51.100.2",
        "198.51.100.0/24",
        "198.51.100.2,*.example",
        "worker-1.pod.example,198.51.100.2",
        "*",
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_grpc_spares_what_the_users_no_proxy_means(environment, name, entry):
    environment.setenv("https_proxy", PROXY)
    environment.setenv(name, entry)
    assert proxies.spare(["198.51.100.2"]) == ""
    assert "198.51.100.2" in spared("no_grpc_proxy")
    # And it still means for others what it meant.
    assert os.environ[name].startswith(entry)
    if entry == "*":
        assert os.environ[name] == "*"


@pytest.mark.parametrize("entry", [".pod.example", "*.pod.example", "pod.example"])
def test_grpc_spares_hosts_by_the_end_of_their_name(environment, entry):
    environment.setenv("http_proxy", PROXY)
    environment.setenv("NO_PROXY", entry)
    assert proxies.spare(["worker-1.pod.example"]) == ""
    assert "worker-1.other.example" in proxies.spare(["worker-1.other.example"])


def test_what_the_user_spared_for_grpc_alone_stays(environment):
    environment.setenv("http_proxy", PROXY)
    environment.setenv("no_grpc_proxy", "198.51.100.7")
    assert proxies.spare(["198.51.100.7"]) == ""
    assert spared("no_grpc_proxy")[0] == "198.51.100.7"
    assert "198.51.100.7" not in spared("no_proxy")


def test_an_empty_proxy_of_grpc_is_none(environment):
    """gRPC looks at the first that is set, and an empty one is no address."""
    environment.setenv("grpc_proxy", "")
    environment.setenv("https_proxy", PROXY)
    assert proxies.spare(["198.51.100.2"]) == ""


def test_twice_is_once(environment):
    environment.setenv("http_proxy", PROXY)
    proxies.spare(["127.0.0.1"])
    before = dict(os.environ)
    proxies.spare(["127.0.0.1"])
    assert dict(os.environ) == before


def test_buckets_go_through_the_users_proxy(environment):
    environment.setenv("https_proxy", PROXY)
    proxies.spare(["127.0.0.1"])
    assert urllib.request.getproxies()["https"] == PROXY
    assert not urllib.request.proxy_bypass("storage.example")
    assert urllib.request.proxy_bypass("127.0.0.1")


_CONNECT = """
import sys
from sam_pod.process import proxies
proxies.spare(["127.0.0.1"])
import tensorflow as tf
cluster = {"worker": [f"127.0.0.1:{sys.argv[1]}"]}
server = tf.distribute.Server(cluster, job_name="worker", task_index=0)
with tf.Graph().as_default(), tf.compat.v1.Session(server.target) as session:
    print(session.run(tf.constant(41) + 1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["http_proxy", "grpc_proxy"])
def test_tensorflow_reaches_this_machine_past_a_proxy(environment, name):
    """Without our list it waits for the proxy, where nobody listens."""
    environment.setenv(name, "http://127.0.0.1:9")
    environment.setenv("PYTHONPATH", str(runs.ROOT))
    (port,) = processes.take_ports(1)
    told = subprocess.run(
        [sys.executable, "-c", _CONNECT, str(port)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.stdout == "42\n", told.stderr[-2000:]


@pytest.mark.slow
def test_workers_of_this_machine_connect_past_a_proxy(environment, tmp_path):
    for name in NAMES[:8]:
        environment.setenv(name, "http://127.0.0.1:9")
    config = runs.small_config(tmp_path, num_epochs=1, **{"sam.rho": 0.0})
    recipe = runs.write_recipe(tmp_path / "r.py", config)
    code, lines, stderr = runs.main(
        *("--num_workers=2", "--max_restarts=0", "--", f"--config={recipe}"),
        f"--workdir={tmp_path / 'run'}",
        module="launch.workers",
    )
    assert code == 0, stderr
    assert not any("puts the proxy" in line for line in lines)
    assert runs.result(tmp_path / "run")["test_examples"] == 30
