"""The processes of a job, one a host: joined by `jax.distributed`.

Each runs the same command. On a TPU slice JAX finds them by itself, from the metadata
of the machines or the variables that GKE sets; elsewhere TF_CONFIG names them.
"""

import collections
import ipaddress
import os
import sys
import time
from collections.abc import Sequence

import jax
from absl import logging

from sam_pod import errors
from sam_pod.machines import cluster as cluster_lib
from sam_pod.process import proxies

# JAX's own limit: what a machine that pauses may need. A shorter watchdog counts.
_HEARTBEAT_SECONDS = 100.0
# For the others to say what is wrong, once the coordinator has.
_LAST_WORDS_SECONDS = 2.0
# What JAX says where it finds no job that this process belongs to.
_ALONE = "should be defined"


def join(
    cluster: cluster_lib.Cluster, connect_seconds: float, loop_seconds: float
) -> None:
    """Connect the workers of TF_CONFIG: the first one's address is the coordinator's.

    Call it before JAX looks for devices.

    Args:
        cluster: The workers.
        connect_seconds: The wait for the others.
        loop_seconds: The longest silence of a process that is not lost.

    Raises:
        UserError: another program has the coordinator's port.
    """
    hosts = [address.rpartition(":")[0] for address in cluster.addresses]
    if proxy := proxies.spare(hosts):
        logging.warning("%s", proxy)
    if cluster.is_chief:
        cluster_lib.check_port(cluster)
    jax.distributed.initialize(
        cluster.addresses[0],
        len(cluster.addresses),
        cluster.index,
        cluster_detection_method="deactivate",
        # Nobody but this machine's processes is to reach a job of one machine.
        coordinator_bind_address=cluster.addresses[0] if _is_loopback(hosts) else None,
        **_seconds(connect_seconds, loop_seconds),
    )


def find(connect_seconds: float, loop_seconds: float) -> None:
    """Connect the hosts of a TPU slice, where JAX finds that this is one.

    Arguments are those of `join`.

    Raises:
        UserError: nobody says which hosts there are.
    """
    try:
        jax.distributed.initialize(**_seconds(connect_seconds, loop_seconds))
    except ValueError as error:
        if _ALONE not in str(error):
            raise
    except OSError as error:
        raise errors.UserError(
            "JAX asks this machine's metadata server for the other hosts of the TPU, "
            f"which does not answer ({errors.reason(error)}): name them by TF_CONFIG."
        ) from error


def leave(code: int) -> None:
    """Exit with the code of an error; return where this process is alone.

    Python's own exit would have JAX wait for the others, which wait for this process,
    and then abort.
    """
    if not jax.distributed.is_initialized():
        return
    # Without the coordinator those that are about to say the same would abort. JAX is
    # not asked who that is: it may be what failed.
    if cluster_lib.read().is_chief:
        time.sleep(_LAST_WORDS_SECONDS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def in_order(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Return devices so that those of a process follow one another.

    JAX numbers the chips of some slices across their hosts.

    Raises:
        UserError: the processes do not have the same number.
    """
    counts = collections.Counter(device.process_index for device in devices)
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"worker {i} has {n}" for i, n in sorted(counts.items()))
        raise errors.UserError(
            f"Each process must have as many devices as the others, and {listing}: "
            "give all the same `runtime.cpu_replicas`, JAX_PLATFORMS and accelerators."
        )
    return sorted(devices, key=lambda device: (device.process_index, device.id))


def _seconds(connect_seconds: float, loop_seconds: float) -> dict[str, int]:
    heartbeat = max(1, int(min(_HEARTBEAT_SECONDS, loop_seconds)))
    return {
        "initialization_timeout": max(1, int(connect_seconds)),
        "heartbeat_timeout_seconds": heartbeat,
        # The others may be gone when a process ends, and nobody says so.
        "shutdown_timeout_seconds": heartbeat,
    }


def _is_loopback(hosts: Sequence[str]) -> bool:
    try:
        return all(ipaddress.ip_address(h.strip("[]")).is_loopback for h in hosts)
    except ValueError:  # A name.
        return False
