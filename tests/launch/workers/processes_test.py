"""Ports of workers, and a command that does not start."""

import contextlib
import socket

import pytest

from launch.workers import output, processes
from sam_pod import errors


@contextlib.contextmanager
def listening(host="127.0.0.1", family=socket.AF_INET):
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", ""])
def test_a_port_in_use_is_refused(host):
    with listening(host) as port, pytest.raises(errors.UserError) as caught:
        processes.take_ports(1, [port])
    assert str(caught.value).startswith(f"Port {port} is in use")
    assert processes.take_ports(1, [port]) == [port]


def test_a_port_that_was_just_used_is_free():
    # Its last connection lingers: a server like the last may bind it all the same.
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()  # The side that closes first lingers.
            assert client.recv(1) == b""
    assert processes.take_ports(1, [port]) == [port]


def test_free_ports_differ_and_can_be_taken():
    ports = processes.take_ports(50)
    assert len(set(ports)) == 50
    with contextlib.ExitStack() as stack:
        for port in ports:
            server = stack.enter_context(socket.socket())
            server.bind(("", port))
            server.listen()


def test_no_port_is_left(monkeypatch):
    monkeypatch.setattr(processes, "is_free", lambda port: False)
    with pytest.raises(errors.UserError, match="no 2 free ports"):
        processes.take_ports(2)


def test_a_command_that_does_not_start():
    with pytest.raises(errors.UserError, match=r"Cannot start /no/where: .*No such"):
        processes.Peers(["/no/where"], [1, 2], output.Output())


def test_fixed_ports_are_used_at_each_start(start):
    ports = processes.take_ports(2)
    job = start("print(config['cluster']); sys.exit(42)", ports=ports, max_restarts=1)
    assert job.wait() == 42
    shown = [line for line in job.lines if f"127.0.0.1:{ports[1]}" in line]
    assert len(shown) == 4
