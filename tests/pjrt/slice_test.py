"""The hosts of a TPU slice, as JAX finds them: by metadata, or by GKE's variables.

The processes are real, and so is JAX's search; the metadata are the test's,
and the devices CPUs.
"""

import contextlib
import dataclasses
import http.server
import itertools
import os
import subprocess
import sys
import threading

import pytest

from launch.workers import processes
from sam_pod import errors
from sam_pod.machines import tpu
from tests import runs
from tests.pjrt import needs_jax

pytestmark = needs_jax

# What `main` does to find them; JAX takes a machine without chips for none of Google's.
HOST = """
import os
import jax
os.environ.pop("TPU_SKIP_MDS_QUERY", None)
import numpy as np
from sam_pod.pjrt import connect, hosts
hosts.find(60, 60)
found = connect.of(hosts.in_order(jax.devices())).workers
own = [1 + found.index, 65535 * found.index, 0.5]
print(found.index, found.count, jax.device_count(), found.total(own))
print(found.chiefs_bytes(b"chief" if found.is_chief else b"other").decode())
"""


class Metadata(http.server.BaseHTTPRequestHandler):
    """Answers /NUMBER/computeMetadata/v1/instance/attributes/KEY."""

    def do_GET(self):
        _, number, *_, key = self.path.split("/")
        known = {
            "agent-worker-number": number,
            "worker-network-endpoints": "a:1:127.0.0.1,b:2:127.0.0.1",
            "tpu-env": "ACCELERATOR_TYPE: 'v6e-8'\nWORKER_ID: '0'",
        }
        self.send_response(200 if key in known else 404)
        self.end_headers()
        self.wfile.write(known.get(key, "").encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def metadata():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def variables(kind, number, metadata, port):
    gke = {"TPU_WORKER_HOSTNAMES": "127.0.0.1,127.0.0.1", "TPU_WORKER_ID": str(number)}
    return {
        "XLA_FLAGS": "",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_FORCE_TPU_INIT": "1",
        "JAX_COORDINATOR_PORT": str(port),
        "GCE_METADATA_IP": f"{metadata}/{number}",
        "no_proxy": "*",
        **(gke if kind == "gke" else {}),
    }


def start(environment):
    return subprocess.Popen(
        [sys.executable, "-c", HOST],
        cwd=runs.ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gce", "gke"])
def test_hosts_find_each_other_and_add_their_numbers(kind, metadata):
    (port,) = processes.take_ports(1)
    with contextlib.ExitStack() as stack:
        hosts = [
            stack.enter_context(start(variables(kind, n, metadata, port)))
            for n in range(2)
        ]
        said = [host.communicate() for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], said
    for number, (stdout, _) in enumerate(said):
        assert f"{number} 2 4 [3.0, 65535.0, 1.0]\nchief\n" in stdout


@pytest.mark.slow
def test_a_machine_that_is_no_host_of_a_slice_is_alone():
    with start({"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}) as host:
        stdout, stderr = host.communicate()
    assert "0 1 1 [1, 0, 0.5]\nchief\n" in stdout, stderr


def test_metadata_that_nobody_gives_are_one_line(monkeypatch):
    import jax

    from sam_pod.pjrt import hosts

    def initialize(**_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(errors.UserError, match=r"\(no route to host\).*TF_CONFIG"):
        hosts.find(1, 1)


@dataclasses.dataclass(eq=False)
class Device:
    """What JAX's own devices of a TPU have."""

    id: int
    process_index: int
    coords: list[int]
    core_on_chip: int
    device_kind: str = "TPU"
    platform: str = "tpu"


def chips(columns, rows, *, cores=1):
    """Return the devices of hosts of 2 x 2 chips, numbered across the whole slice."""
    places = itertools.product(range(rows), range(columns), range(cores))
    return [
        Device(number, y // 2 * (columns // 2) + x // 2, [x, y, 0], core)
        for number, (y, x, core) in enumerate(places)
    ]


@pytest.mark.parametrize("cores", [1, 2])
def test_the_replicas_of_a_host_are_neighbours_in_the_mesh(cores):
    import jax

    from sam_pod.pjrt import connect, hosts

    devices = chips(4, 4, cores=cores)
    ordered = hosts.in_order(devices)
    where = connect.of(ordered).coordinates
    assert where.shape == (16 * cores, 4)
    for size in (cores, 2 * cores, 4 * cores):
        assert tpu.are_neighbours(where, size), size
    # JAX's own numbers follow the rows of the slice, and leave a host after two chips.
    first = [place[:2].tolist() for place in where[::cores][:4]]
    assert first == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert connect.coordinates(devices)[4 * cores][1] == 1
    assert connect.of(jax.devices("cpu")[:2]).coordinates is None
