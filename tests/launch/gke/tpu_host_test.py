"""Two hosts on loopback: real gRPC servers of TensorFlow's, and a coordinator."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from launch.gke import tpu_host
from launch.workers import processes
from sam_pod import errors
from tests import runs
from tests.launch import jobs

RUN = """
import json, sys
from launch.gke import tpu_host
from launch.workers import stopping
addresses, index, code = json.loads(sys.argv[1])
tpu_host._GRACE_SECONDS = 0.2
host = tpu_host.Host(tuple(addresses), index)
command = [sys.executable, "-c", code]
sys.exit(tpu_host.run(host, command, stopping.Requests()))
"""
CONNECT = """
import os, signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
import tensorflow as tf
name = sys.argv[1].removeprefix("--tpu=")
resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
tf.config.experimental_connect_to_cluster(resolver)

def read_hosts():
    for task in range(2):
        with tf.device(f"/job:worker/replica:0/task:{task}/device:CPU:0"):
            found = tf.io.read_file("/proc/self/environ").numpy().split(b"\\0")
        ours = [line.decode() for line in found if line.startswith(b"CLOUD_TPU_TASK")]
        print("host", task, *ours, os.environ["TPU_LOAD_LIBRARY"], flush=True)

read_hosts()
"""
WAIT_THEN_SAVE = """
stop.wait()
read_hosts()
print("saved", flush=True)
os._exit(42)
"""


@pytest.fixture
def start():
    """Start hosts of one slice; what is left of one at the end is killed."""
    addresses = [f"localhost:{port}" for port in processes.take_ports(2)]
    started = []

    def start(index, code=""):
        arguments = json.dumps([addresses, index, code])
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(runs.ROOT)},
            cwd=runs.ROOT,
        )
        process.addresses = addresses
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def read_until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if text in line:
            return lines
    raise AssertionError(lines)


@pytest.mark.slow
def test_the_coordinator_reaches_every_host_until_it_has_saved(start):
    other, first = start(1), start(0, CONNECT + WAIT_THEN_SAVE)
    read_until(first, "host 1")
    # As in a cluster: the signal comes to all, and to the one that serves before.
    other.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGTERM)
    lines = read_until(first, "saved")
    assert lines == [
        "host 0 CLOUD_TPU_TASK_ID=0 0",
        "host 1 CLOUD_TPU_TASK_ID=1 0",
        "saved",
    ]
    assert first.wait() == 42
    assert other.wait() == 42
    for address in first.addresses:
        assert not tpu_host._is_up(address)


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(1)", 1), ("0", 0), ("os.kill(os.getpid(), 9)", 137)]
)
def test_the_first_host_ends_as_its_trainer(start, end, code):
    assert start(0, f"import os, sys\n{end}").wait() == code


@pytest.mark.parametrize(("index", "code"), [(0, 137), (1, 42)])
def test_a_host_whose_server_is_lost(start, index, code):
    host = start(index, "import signal\nsignal.pause()")
    jobs.wait_until(lambda: servers(host))
    (server,) = servers(host)
    server.kill()
    assert host.wait() == code
    assert not jobs.is_alive(server.pid)


def servers(host):
    children = psutil.Process(host.pid).children()
    return [child for child in children if "launch.gke.tpu_server" in child.cmdline()]


def test_gke_says_who_the_hosts_are():
    host = tpu_host.read({"TPU_WORKER_HOSTNAMES": "a.b,c.b", "TPU_WORKER_ID": "1"})
    assert host == tpu_host.Host(("a.b:8470", "c.b:8470"), 1)
    assert host.tpu == "grpc://a.b:8470,grpc://c.b:8470"
    assert host.server_environment["TPU_MESH_CONTROLLER_ADDRESS"] == "a.b:8476"
    assert host.server_environment["TPU_HOSTNAME_OVERRIDE"] == "c.b"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TPU_WORKER_HOSTNAMES": "a,b"},
        {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "2"},
        {"TPU_WORKER_ID": "0"},
    ],
)
def test_outside_gke(environment):
    with pytest.raises(errors.UserError, match=r"launch\.gke"):
        tpu_host.read(environment)


@pytest.mark.parametrize("arguments", [["--"], ["--config=a"]])
def test_a_mistake_gets_one_line(arguments):
    code, lines, stderr = runs.main(*arguments, module="launch.gke.tpu_host")
    assert (code, lines) == (1, [])
    assert stderr.startswith("Error: ")
    assert stderr.count("\n") == 1
