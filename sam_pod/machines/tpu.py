"""A TPU: finding its hosts, connecting to them, and how its chips lie.

One process, the coordinator, drives all hosts of a slice; each runs a gRPC server of
TensorFlow's. After connecting, what the main thread does without naming a device
happens on the slice's first host.
"""

import dataclasses
import socket
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from sam_pod import errors
from sam_pod.process import proxies

_PROBE_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a TPU is: 'local', its name, or grpc://HOST:8470,... of all its hosts."""

    name: str
    zone: str = ""  # The zone of a name; the metadata server is asked when empty.
    project: str = ""

    @property
    def servers(self) -> list[tuple[str, int]]:
        """Return (host, port) of each server that the name lists."""
        listed = [part.strip() for part in self.name.split(",") if part.strip()]
        if not any(part.startswith("grpc://") for part in listed):
            return []
        servers = []
        for part in listed:
            host, _, port = part.removeprefix("grpc://").rpartition(":")
            if not part.startswith("grpc://") or not host or not _is_port(port):
                raise errors.UserError(
                    f"--tpu={self.name} has the part {part!r}; each host must be "
                    "grpc://HOST:PORT, where the port is 8470 on a TPU VM."
                )
            servers.append((host, int(port)))
        if len(set(servers)) < len(servers):
            raise errors.UserError(f"--tpu={self.name} names a host twice.")
        return servers


@dataclasses.dataclass(frozen=True)
class Connected:
    """A connected TPU."""

    strategy: tf.distribute.Strategy
    # The CPUs of the hosts that read input; none when the only host is this machine.
    input_devices: tuple[str, ...]
    # The place of each replica's core in the mesh of chips, `[R, rank]`.
    coordinates: np.ndarray


def connect(address: Address) -> Connected:
    """Return the slice, its chips cleared of whatever ran there before.

    Waits for hosts that do not listen yet; the caller bounds how long.

    Raises:
        UserError: an address that cannot be one, or a TPU that does not answer.
    """
    proxy = proxies.spare(host for host, _ in address.servers)
    if proxy:
        logging.warning("%s", proxy)
    for server in address.servers:
        _wait_for(server)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            address.name, zone=address.zone or None, project=address.project or None
        )
        if not address.servers and not proxy:
            proxy = proxies.spare(_hosts(resolver.cluster_spec()))
            if proxy:
                logging.warning("%s", proxy)
        tf.config.experimental_connect_to_cluster(resolver)
        topology = tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (
        ImportError,  # No client library for the TPU's name.
        OSError,  # Nothing answers where names are looked up.
        RuntimeError,
        ValueError,
        tf.errors.InvalidArgumentError,
        tf.errors.NotFoundError,
        tf.errors.UnimplementedError,
    ) as error:
        reason = " ".join(str(error).split())[:300]
        raise errors.UserError(
            f"No TPU answers at --tpu={address.name}: {reason}{proxy and f'. {proxy}'}"
        ) from error
    coordinates = topology.device_coordinates.reshape(-1, topology.mesh_rank)
    logging.info(
        "TPU mesh %s on %d host(s).",
        "x".join(map(str, topology.mesh_shape)),
        topology.num_tasks,
    )
    devices = input_devices(resolver.cluster_spec())
    return Connected(strategy, devices, coordinates)


def input_devices(cluster: tf.train.ClusterSpec | None) -> tuple[str, ...]:
    """Return the CPU of each host of a cluster; () for this machine alone."""
    tasks = cluster.as_dict() if cluster else {}
    return tuple(
        f"/job:{job}/replica:0/task:{task}/device:CPU:0"
        for job, hosts in sorted(tasks.items())
        for task in range(len(hosts))
    )


def _hosts(cluster: tf.train.ClusterSpec | None) -> list[str]:
    tasks = cluster.as_dict() if cluster else {}
    addresses = [address for hosts in tasks.values() for address in hosts]
    return [address.rpartition(":")[0] for address in addresses]


def are_neighbours(coordinates: np.ndarray, group_size: int) -> bool:
    """Return whether each group of consecutive replicas is one connected piece.

    TPUStrategy numbers replicas by host, and on a host by core (TPUSystemMetadata
    sorts the devices so), which makes consecutive ones neighbours on the usual meshes.

    Args:
        coordinates: The place of each replica's core in the mesh, `[R, rank]`.
        group_size: The replicas of a group, a divisor of R.
    """
    for group in coordinates.reshape(-1, group_size, coordinates.shape[1]):
        reached = np.abs(group[:, None] - group[None]).sum(-1) <= 1
        for _ in range(group_size.bit_length()):
            reached = reached.astype(np.int64) @ reached > 0
        if not reached.all():
            return False
    return True


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 2**16


def _wait_for(
    server: tuple[str, int], pause: Callable[[float], None] = time.sleep
) -> None:
    """Return once something listens; connect_to_cluster would wait without a word."""
    reported = ""
    while True:
        try:
            socket.create_connection(server, _PROBE_SECONDS).close()
            return
        except UnicodeError as error:
            raise errors.UserError(f"--tpu: {server[0]!r} is no host name.") from error
        except OSError as error:
            reason = error.strerror or str(error)
        if reason != reported:
            logging.info("Waiting for %s:%d (%s).", *server, reason)
            reported = reason
        pause(_PAUSE_SECONDS)
