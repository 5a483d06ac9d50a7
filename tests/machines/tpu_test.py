"""Addresses of a TPU, the hosts behind them, and how chips lie."""

import itertools
import socket

import numpy as np
import pytest
import tensorflow as tf

from sam_pod import errors
from sam_pod.machines import tpu


def test_addresses_list_their_servers():
    address = tpu.Address("grpc://10.0.0.1:8470, grpc://host-2:8471")
    assert address.servers == [("10.0.0.1", 8470), ("host-2", 8471)]
    assert tpu.Address("local").servers == tpu.Address("my-tpu").servers == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grpc://a", "has the part 'grpc://a'"),
        ("grpc://a:x", "has the part 'grpc://a:x'"),
        ("grpc://a:99999", "has the part 'grpc://a:99999'"),
        ("grpc://a..b:1", "'a..b' is no host name"),
        ("grpc://a:1,b:2", "has the part 'b:2'; each host must be grpc://HOST:PORT"),
        ("grpc://a:1,grpc://a:1", "names a host twice"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(name, message):
    with pytest.raises(errors.UserError, match=message):
        tpu.connect(tpu.Address(name))


def test_waits_for_a_host_that_does_not_listen_yet(caplog):
    with socket.socket() as later:
        later.bind(("127.0.0.1", 0))
        server = later.getsockname()
        pauses = []

        def pause(seconds):
            pauses.append(seconds)
            if len(pauses) == 2:
                later.listen()

        with caplog.at_level("INFO", logger="absl"):
            tpu._wait_for(server, pause)
    assert len(pauses) == 2
    waits = [line for line in caplog.messages if line.startswith("Waiting for")]
    assert waits == [f"Waiting for 127.0.0.1:{server[1]} (Connection refused)."]


def test_the_hosts_of_a_cluster():
    cluster = tf.train.ClusterSpec({"worker": ["a:1", "b:2"]})
    assert tpu.input_devices(cluster) == (
        "/job:worker/replica:0/task:0/device:CPU:0",
        "/job:worker/replica:0/task:1/device:CPU:0",
    )
    assert tpu.input_devices(None) == tpu.input_devices(tf.train.ClusterSpec({})) == ()


def mesh(shape, host):
    """Number the chips of a mesh host by host, x fastest in both, as TPUs are."""
    order = []
    hosts = itertools.product(
        *(range(0, n, h) for n, h in zip(shape[::-1], host[::-1], strict=True))
    )
    for corner in hosts:
        for offset in itertools.product(*(range(h) for h in host[::-1])):
            order.append([c + o for c, o in zip(corner, offset, strict=True)][::-1])
    return np.array(order)


@pytest.mark.parametrize(
    ("shape", "host"),
    [((4, 4, 2), (2, 2, 1)), ((4, 4, 4), (2, 2, 1)), ((8, 8, 1), (4, 2, 1))],
)
def test_consecutive_chips_are_neighbours(shape, host):
    coordinates = mesh(shape, host)
    assert len(np.unique(coordinates, axis=0)) == np.prod(shape)
    for size in (1, 2, 4, 8, 16, 32):
        assert tpu.are_neighbours(coordinates, size), size


def test_chips_that_are_apart_are_no_neighbours():
    coordinates = mesh((4, 4, 1), (2, 2, 1))
    scattered = coordinates[np.r_[0:16:2, 1:16:2]]
    assert not tpu.are_neighbours(scattered, 4)
    assert tpu.are_neighbours(scattered, 16)


def test_no_tpu_has_one_line():
    with pytest.raises(errors.UserError, match="No TPU answers at --tpu=local: ") as e:
        tpu.connect(tpu.Address("local"))
    assert "\n" not in str(e.value)


def test_a_proxy_before_a_tpu_is_named_at_once_and_in_the_error(monkeypatch, caplog):
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "")  # So that it is put back.
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", "http://user:secret@proxy.example:3128")
    monkeypatch.setattr(tpu, "_wait_for", lambda server: None)

    def refuse(*arguments, **keywords):
        raise RuntimeError("nothing there")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", refuse)
    with pytest.raises(errors.UserError) as raised:
        tpu.connect(tpu.Address("grpc://198.51.100.2:8470"))
    line = "http_proxy puts the proxy proxy.example:3128 between this machine and "
    assert f"nothing there. {line}198.51.100.2: " in str(raised.value)
    assert "set no_proxy=198.51.100.2." in str(raised.value)
    assert [line in record.getMessage() for record in caplog.records] == [True]
    assert "secret" not in str(raised.value)
